"use strict";
// The threshold chooser, and tables that sort. The page says all it has to say without this.
(() => {
  const svg = "http://www.w3.org/2000/svg";
  const at = (id) => document.getElementById(id);

  // As measures.share_text.
  const share = (value) => {
    const percent = 100 * value;
    if (percent === 0 || percent === 100) return `${percent}%`;
    const edge = Math.max(Math.min(percent, 100 - percent), 1e-6);
    const digits = edge >= 10 ? 0 : (percent < 50 ? 1 : 0) - Math.floor(Math.log10(edge));
    return `${Number(percent.toFixed(digits))}%`;
  };
  const count = (value) => value.toLocaleString("en", { maximumFractionDigits: 0 });
  const aDay = (value) => (value === 0 ? "none" : value >= 10 ? count(value) : String(Number(value.toPrecision(2))));

  const marker = (plot, shape, attributes) => {
    const made = document.createElementNS(svg, shape);
    made.setAttribute("class", "marker");
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    at(plot).append(made);
    return made;
  };

  const cuts = JSON.parse(at("cuts").textContent);
  const markers = [
    marker("roc", "circle", { r: 7 }),
    marker("pr", "circle", { r: 7 }),
    marker("histogram", "path", { d: `M0 0v-${cuts.height}` }),
  ];
  const show = () => {
    const [score, caught, refused, ...places] = cuts.points[at("slider").value];
    const rate = Number(at("rate").value);
    at("chosen-score").value = score;
    at("slider").setAttribute("aria-valuetext", score);
    at("chosen-caught").value = share(caught / cuts.bots);
    at("chosen-refused").value = share(refused / cuts.humans);
    at("chosen-precision").value = caught + refused ? share(caught / (caught + refused)) : "–";
    at("chosen-day").value = rate > 0 ? aDay((rate * refused) / (cuts.bots + cuts.humans)) : "–";
    // Between two counts, so that rounding does not lose one.
    at("chosen-option").value = `--max-fpr ${refused ? Number(((refused + 0.5) / cuts.humans).toPrecision(6)) : 0}`;
    places.forEach(([x, y], i) => markers[i].setAttribute("transform", `translate(${x} ${y})`));
  };
  at("chooser").hidden = false;
  at("chooser").addEventListener("input", show);
  at("chooser").addEventListener("submit", (event) => event.preventDefault());
  show();

  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent.replaceAll(",", "").replace("%", "").replace("−", "-");
    return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : cell.textContent.trim();
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const sort = () => {
        const sign = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [value(row, head.cellIndex), row]);
        rows.sort((a, b) => sign * compare(a[0], b[0]));
        body.append(...rows.map((pair) => pair[1]));
      };
      head.tabIndex = 0;
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          sort();
        }
      });
    }
  }
})();
