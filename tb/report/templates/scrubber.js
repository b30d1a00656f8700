"use strict";
// Shows the array cycle by cycle, in a page with a recording; it needs report.js.

const { rows, cols, pe, control, bus, captions } = data.recording;
const last = captions.length - 1;
const cells = [...document.querySelectorAll(".pe")];
const parts = ["act", "shadow", "weight", "psum"];
const spans = cells.map((cell) => Object.fromEntries(
  parts.map((part) => [part, cell.querySelector(`.${part}`)])));
let cycle = 0;
let chosen = 0; // the PE whose arithmetic is spelt out
let timer = null;

function showCycle(next) {
  const onward = next === cycle + 1;
  cycle = Math.min(Math.max(next, 0), last);
  cells.forEach((cell, index) => {
    const row = Math.floor(index / cols);
    const col = index % cols;
    const entered = cycle - row - col; // when its activation was at the west edge
    const hops = cycle > 0 ? pe.weight_hops_i[cycle - 1][index] : 0;
    const span = spans[index];
    span.act.textContent = minus(pe.act_i[cycle][index]);
    span.weight.textContent = minus(pe.weight[cycle][index]);
    span.psum.textContent = minus(pe.psum_o[cycle][index]);
    span.shadow.textContent = minus(pe.shadow[cycle][index]) + (hops > 1 ? "›" : "");
    span.shadow.classList.toggle("new", hops > 0);
    cell.classList.toggle("swap", pe.swap_i[cycle][index] === 1);
    cell.classList.toggle("work", entered >= 0 && control.act_valid_i[entered] === 1);
    cell.classList.toggle("chosen", index === chosen);
  });
  for (let row = 0; row < rows; row += 1) {
    const entering = control.act_valid_i[cycle] === 1;
    byId(`in-${row}`).textContent = entering ? minus(bus.act_i[cycle][row]) : "·";
  }
  for (let col = 0; col < cols; col += 1) {
    const leaving = control.psum_valid_o[cycle] === 1;
    byId(`out-${col}`).textContent = leaving ? minus(bus.psum_o[cycle][col]) : "·";
  }
  const grid = byId("grid");
  const odd = onward && !grid.classList.contains("odd");
  grid.classList.toggle("even", onward && !odd);
  grid.classList.toggle("odd", odd);

  const words = captions[cycle];
  byId("now-cycle").textContent = `Cycle ${cycle} of ${last}`;
  for (const name of ["where", "west", "weights", "swap", "south"]) {
    byId(`now-${name}`).textContent = words[name];
  }
  byId("cycle").value = cycle;
  byId("cycle").setAttribute("aria-valuetext", `cycle ${cycle}, ${words.where}`);
  inspect();
}

function inspect() {
  const north = chosen < cols ? 0 : pe.psum_o[cycle][chosen - cols];
  const act = pe.act_i[cycle][chosen];
  const weight = pe.weight[cycle][chosen];
  const known = north !== null && act !== null && weight !== null;
  const total = known ? north + act * weight : null;
  byId("inspected").textContent =
    `PE (${Math.floor(chosen / cols)}, ${chosen % cols}): psum from the north ${minus(north)} + ` +
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
  const swap = control.act_swap_i.findIndex((token, at) => at > cycle && token === 1);
  showCycle(swap < 0 ? last : swap);
}

const stopAndShow = (next) => { pause(); showCycle(next); };
byId("first").addEventListener("click", () => stopAndShow(0));
byId("back").addEventListener("click", () => stopAndShow(cycle - 1));
byId("step").addEventListener("click", () => stopAndShow(cycle + 1));
byId("play").addEventListener("click", () => (timer ? pause() : play()));
byId("swap").addEventListener("click", () => { pause(); nextTile(); });
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
  const here = byId("array").contains(target) || (target === document.body && visible(byId("grid")));
  if (!here || event.ctrlKey || event.altKey || event.metaKey) return;
  if (target.tagName === "SELECT" || (target.tagName === "BUTTON" && event.key === " ")) return;
  if (event.shiftKey && event.key in moves) {
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
