"use strict";
// Tables: a click on a heading sorts, a second one turns the order; the field above filters.
const number = (text) => parseFloat(text.replace(/^[^\d+-]*/, ""));
function sort(head) {
  const ascending = head.getAttribute("aria-sort") !== "ascending";
  const body = head.closest("table").tBodies[0];
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const rows = [...body.rows].map((row) => [row.cells[head.cellIndex].textContent, row]);
  const numeric = rows.filter(([text]) => /^[+-]?\d/.test(text)).length * 2 >= rows.length;
  const empty = (text) => (numeric ? Number.isNaN(number(text)) : text === "");
  rows.sort(([a], [b]) => {
    if (empty(a) || empty(b)) return empty(a) - empty(b); // at the end in both orders
    return (numeric ? number(a) - number(b) : a.localeCompare(b)) * (ascending ? 1 : -1);
  });
  body.append(...rows.map(([, row]) => row));
}
for (const head of document.querySelectorAll("th")) head.firstElementChild.addEventListener("click", () => sort(head));
for (const field of document.querySelectorAll("input[type=search]")) {
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of field.closest(".table").querySelectorAll("tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}
