"""training.label - weak labels for a log that holds none, by named rules.

    rules.toml       the rules that come with xbot, to be read by people
    rules.py         a file of rules, checked: every mistake is named by file, rule and field
    sets.py          named sets that rules refer to: agents of known programs, networks
    conditions.py    the rules' conditions on one request, as bits: one look-up a field, each value looked at once
    engine.py        one pass over the log: what each client did; then a label for each line
    summary.py       what each rule covered, and which contradict each other
    cli.py           the command `xbot label`

Law: no rule is in the code. A rule reads what the log says and nothing that a model says.
"""
