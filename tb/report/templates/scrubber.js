"use strict";
// Shows the array cycle by cycle, in a page with a recording; it needs report.js.

const { rows, cols, pe, edges, starts, captions, leaving, signals } = data.recording;
const MOST_LEAVING = 16; // vectors that are shown of one cycle
const last = captions.length - 1;
const cells = [...document.querySelectorAll(".pe")];
const parts = ["act", "shadow", "weight", "psum"].filter((part) => part in pe);
const spans = cells.map((cell) => Object.fromEntries(
  parts.map((part) => [part, cell.querySelector(`.${part}`)])));
const values = [...document.querySelectorAll("#signals .value")];
const recorded = Object.values(signals).map((signal) => signal.values);
let cycle = 0;
let chosen = 0; // the PE whose arithmetic is spelt out
let timer = null;

function showCycle(next) {
  const onward = next === cycle + 1;
  cycle = Math.min(Math.max(next, 0), last);
  if (cells.length) showPes(onward);
  if (edges) showEdges();
  else showLeaving();
  values.forEach((element, index) => {
    element.textContent = recorded[index][cycle];
    const before = recorded[index][Math.max(cycle - 1, 0)];
    element.classList.toggle("changed", recorded[index][cycle] !== before);
  });

  const words = captions[cycle];
  byId("now-cycle").textContent = `Cycle ${cycle} of ${last}`;
  for (const name of Object.keys(words)) byId(`now-${name}`).textContent = words[name];
  byId("cycle").value = cycle;
  byId("cycle").setAttribute("aria-valuetext", `cycle ${cycle}, ${words.where}`);
}

function showPes(onward) {
  cells.forEach((cell, index) => {
    const span = spans[index];
    for (const part of parts) span[part].textContent = minus(pe[part][cycle][index]);
    cell.classList.toggle("swap", pe.swap?.[cycle][index] === 1);
    cell.classList.toggle("chosen", index === chosen);
    if (edges) {
      const entered = cycle - Math.floor(index / cols) - (index % cols); // at the west edge
      const hops = cycle > 0 ? pe.hops[cycle - 1][index] : 0;
      span.shadow.textContent += hops > 1 ? "›" : "";
      span.shadow.classList.toggle("new", hops > 0);
      cell.classList.toggle("work", entered >= 0 && edges.act_valid[entered] === 1);
    }
  });
  const grid = byId("grid");
  const odd = onward && !grid.classList.contains("odd");
  grid.classList.toggle("even", onward && !odd);
  grid.classList.toggle("odd", odd);
  inspect();
}

function showEdges() {
  for (let row = 0; row < rows; row += 1) {
    const entering = edges.act_valid[cycle] === 1;
    byId(`in-${row}`).textContent = entering ? minus(edges.act[cycle][row]) : "·";
  }
  for (let col = 0; col < cols; col += 1) {
    const left = edges.psum_valid[cycle] === 1;
    byId(`out-${col}`).textContent = left ? minus(edges.psum[cycle][col]) : "·";
  }
}

function showLeaving() {
  const row = (cells) => {
    const line = document.createElement("tr");
    cells.forEach((text, index) => {
      const cell = line.insertCell();
      cell.textContent = text;
      if (index) cell.className = "n";
    });
    return line;
  };
  const vectors = leaving[cycle];
  const lines = vectors.slice(0, MOST_LEAVING)
    .map(({ place, values: numbers }) => row([place, ...numbers.map(minus)]));
  if (!vectors.length) lines.push(row(["none"]));
  const more = vectors.length - MOST_LEAVING;
  if (more > 0) lines.push(row([`and ${more} more`]));
  document.querySelector("#leaving tbody").replaceChildren(...lines);
}

function inspect() {
  const where = `PE (${Math.floor(chosen / cols)}, ${chosen % cols}): `;
  if (!edges) {
    const names = { act: "activation", shadow: "shadow weight", weight: "weight", psum: "psum" };
    byId("inspected").textContent = where
      + parts.map((part) => `${names[part]} ${minus(pe[part][cycle][chosen])}`).join(", ");
    return;
  }
  const north = chosen < cols ? 0 : pe.psum[cycle][chosen - cols];
  const act = pe.act[cycle][chosen];
  const weight = pe.weight[cycle][chosen];
  const known = north !== null && act !== null && weight !== null;
  const total = known ? north + act * weight : null;
  byId("inspected").textContent =
    `${where}psum from the north ${minus(north)} + ` +
    `activation ${minus(act)} × weight ${minus(weight)} → ${minus(total)} in the next cycle`;
}

function choose(index) {
  cells[chosen].classList.remove("chosen");
  chosen = index;
  cells[chosen].classList.add("chosen");
  inspect();
}
cells.forEach((cell, index) => cell.addEventListener("click", () => choose(index)));

function pause() {
  clearInterval(timer);
  timer = null;
  byId("play").textContent = "Play";
  byId("happening").setAttribute("aria-live", "polite");
}

function play() {
  if (cycle === last) showCycle(0);
  // A screen reader could not keep up.
  byId("happening").setAttribute("aria-live", "off");
  byId("play").textContent = "Pause";
  clearInterval(timer);
  timer = setInterval(() => (cycle < last ? showCycle(cycle + 1) : pause()),
    1000 / Number(byId("speed").value));
}

function nextTile() {
  showCycle(starts.find((start) => start > cycle) ?? last);
}

const stopAndShow = (next) => { pause(); showCycle(next); };
byId("first").addEventListener("click", () => stopAndShow(0));
byId("back").addEventListener("click", () => stopAndShow(cycle - 1));
byId("step").addEventListener("click", () => stopAndShow(cycle + 1));
byId("play").addEventListener("click", () => (timer ? pause() : play()));
byId("next").addEventListener("click", () => { pause(); nextTile(); });
byId("speed").addEventListener("change", () => timer && play());
byId("cycle").addEventListener("input", (event) => stopAndShow(Number(event.target.value)));
if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("speed").value = "1";

const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const keys = {
  ArrowLeft: () => stopAndShow(cycle - 1),
  ArrowRight: () => stopAndShow(cycle + 1),
  Home: () => stopAndShow(0),
  End: () => stopAndShow(last),
  " ": () => (timer ? pause() : play()),
  n: () => { pause(); nextTile(); },
};

function visible(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

// The keys work with the focus in this section, and with no focus while the array is in view.
document.addEventListener("keydown", (event) => {
  const target = event.target;
  const here = byId("array").contains(target) || (target === document.body && visible(byId("grid") ?? byId("scrubber")));
  if (!here || event.ctrlKey || event.altKey || event.metaKey) return;
  if (target.tagName === "SELECT" || (target.tagName === "BUTTON" && event.key === " ")) return;
  if (event.shiftKey && event.key in moves && cells.length) {
    const [down, right] = moves[event.key];
    const row = (Math.floor(chosen / cols) + down + rows) % rows;
    choose(row * cols + (chosen % cols + right + cols) % cols);
  } else if (event.key in keys && !event.shiftKey) {
    keys[event.key]();
  } else {
    return;
  }
  event.preventDefault();
});
showCycle(0);
