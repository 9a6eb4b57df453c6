"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const [graph, about, found, search, values] =
  ["graph", "about", "found", "search", "values"].map((name) => document.getElementById(name));
const ROW = 18;
const NARROWEST = 1;
let value = data.first;
let path = [data.root];

function show(number) {
  if (data.values[value][1] !== "bytes") return number.toLocaleString("en");
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; Math.abs(number) >= 1000 && unit < units.length - 1; unit++) number /= 1024;
  return (unit ? number.toPrecision(3) : number) + " " + units[unit];
}

// A colour for each file, lighter or darker by function.
function colour(node) {
  if (!node.o) return "hsl(220 8% 78%)";
  const hash = (text) => [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
  return `hsl(${(hash(node.o) * 47) % 360} 60% ${68 + (hash(node.n) % 12)}%)`;
}

function describe(node) {
  const whole = data.root.v[value] || 1;
  const place = node.p ? "\n" + node.p : "";
  return `${node.n}${node.o ? ` [${node.o}]` : ""}${place}\n${show(node.v[value])}, ${((100 * node.v[value]) / whole).toFixed(1)} %`;
}

function matches(node) {
  const word = search.value.toLowerCase();
  return word !== "" && (node.n + " " + node.o + " " + (node.p || "")).toLowerCase().includes(word);
}

// What the search found: the sum of the outermost functions that match.
function sum(node) {
  return matches(node) ? node.v[value] : node.c.reduce((all, callee) => all + sum(callee), 0);
}

function box(node, parents, left, width, row, faded) {
  const element = document.createElement("div");
  element.style.cssText = `left:${left}px;width:${Math.max(width - 1, 1)}px;top:${row * ROW}px;background:${colour(node)}`;
  element.textContent = width > 20 ? node.n : "";
  element.title = describe(node);
  element.classList.toggle("faded", faded);
  element.classList.toggle("found", matches(node));
  element.onclick = () => { path = [...parents, node]; draw(); };
  element.onmouseover = () => { about.textContent = describe(node); };
  graph.append(element);
}

function above(node, parents, left, width, row) {
  let rows = row;
  const whole = node.v[value];
  for (const callee of [...node.c].sort((one, other) => other.v[value] - one.v[value])) {
    const part = (width * callee.v[value]) / whole;
    if (!(part >= NARROWEST)) continue;
    const to_callee = [...parents, node];
    box(callee, to_callee, left, part, row, false);
    rows = Math.max(rows, above(callee, to_callee, left, part, row + 1));
    left += part;
  }
  return rows;
}

// Callers are on top, the functions that they call below them.
function draw() {
  graph.replaceChildren();
  const width = graph.clientWidth;
  path.forEach((node, row) => box(node, path.slice(0, row), 0, width, row, row < path.length - 1));
  const last = path[path.length - 1];
  graph.style.height = above(last, path.slice(0, -1), 0, width, path.length) * ROW + "px";
  const whole = data.root.v[value] || 1;
  found.textContent = search.value && `${show(sum(data.root))}, ${((100 * sum(data.root)) / whole).toFixed(1)} % found`;
}

data.values.forEach(([name], index) => values.append(new Option(name, index)));
values.selectedIndex = value;
values.onchange = () => { value = values.selectedIndex; draw(); };
search.oninput = draw;
document.getElementById("reset").onclick = () => { path = [data.root]; draw(); };
document.onkeydown = (event) => { if (event.key === "Escape") { path = [data.root]; search.value = ""; draw(); } };
window.onresize = draw;
draw();
