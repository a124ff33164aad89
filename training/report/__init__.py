"""training.report - one HTML page that says what a model does to labelled rows, and whether to believe it.

    subject.py       what is judged: rows, their margins, the model, the threshold
    rereading.py     the labelled rows once more, in order, with all that the log says of them
    measures.py      margins and labels to figures: every threshold, histogram, calibration, bounds
    lists.py         two lists of agents to compare with, and figures by the labels' reasons
    separation.py    each feature by itself: how far it tells the classes apart, and what the model makes of it
    comparison.py    other machines, other ways to hold out, parts of the request left out
    mistakes.py      the rows that the model is most wrong about
    plots.py, svg.py the drawings: matplotlib draws, svg.py makes them part of the page
    page.py          all of it into page.html, with page.css and page.js
    cli.py           the command `xbot report`

Law: nothing is fitted here but what comparison.py compares; each figure is computed in one place, and the page only
formats it. What visitors sent reaches the page through Jinja's escaping and nothing else.
"""
