// What the pages share: charts, the network's picture, tables, and printing.
"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const applyScheme = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", applyScheme);
applyScheme();

const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

function drawCharts(specs) {
  return Promise.all(Array.from(document.querySelectorAll(".chart"), place => {
    const spec = specs[place.dataset.chart][place.dataset.part];
    spec.config = {...spec.config, background: null, view: {stroke: null}, font: "system-ui, sans-serif"};
    const theme = dark.matches ? "dark" : "light";
    return vegaEmbed(place, spec, {renderer: "svg", actions: false, tooltip: {theme}});
  }));
}

// The picture is whole without this: it shows the last stage. The slider shows the others.
let drawnBefore;
function moveNetwork() {
  drawnBefore?.abort();
  drawnBefore = new AbortController();
  const {signal} = drawnBefore;
  const place = document.getElementById("network");
  if (!place) return;
  const {stages, layers, sides, size, full, least} =
    JSON.parse(document.getElementById("network-data").textContent);
  const last = stages.length - 1;
  const slider = place.querySelector("input");
  if (!slider) return;
  const all = bytesOf(sides);
  const per = all.length / stages.length;
  const at = stage => all.subarray(stage * per, (stage + 1) * per);
  const items = [...place.querySelectorAll("li")];
  let shown = Float32Array.from(at(last)), frame = 0;

  function paint() {
    let start = 0;
    layers.forEach((layer, i) => {
      const width = size / layer.columns, height = size / layer.rows;
      const parts = [];
      for (let row = 0; row < layer.rows; row++) {
        for (let column = 0; column < layer.columns; column++) {
          const value = shown[start++];
          if (value <= 0) continue;
          const side = full * Math.max(value / 255, least);
          const w = side * width, h = side * height;
          const x = (column + .5) * width - w / 2, y = (row + .5) * height - h / 2;
          parts.push(`M${x.toFixed(1)} ${y.toFixed(1)}h${w.toFixed(1)}v${h.toFixed(1)}h-${w.toFixed(1)}z`);
        }
      }
      items[i].querySelector("path").setAttribute("d", parts.join(""));
    });
  }

  function show(stage, moving) {
    const text = stages[stage];
    slider.value = stage;
    slider.setAttribute("aria-valuetext", text);
    place.querySelector("output").textContent = text;
    layers.forEach((layer, i) => {
      items[i].querySelector(".kept").textContent = layer.texts[stage];
      items[i].querySelector("title").textContent = `${layer.name}: ${layer.texts[stage]}`;
    });
    cancelAnimationFrame(frame);
    const from = shown.slice(), to = at(stage), begin = performance.now();
    const step = now => {
      const t = moving ? Math.min(1, Math.max(0, (now - begin) / 350)) : 1;
      shown = from.map((value, i) => value + (to[i] - value) * t * (2 - t));
      paint();
      if (t < 1) frame = requestAnimationFrame(step);
    };
    step(begin);
  }

  slider.closest(".slider").hidden = false;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  slider.addEventListener("input", () => show(Number(slider.value), !still.matches));
  let before = last;
  addEventListener("beforeprint", () => { before = Number(slider.value); show(last); }, {signal});
  addEventListener("afterprint", () => show(before), {signal});
}

async function makeTables(module, ids) {
  const address = URL.createObjectURL(new Blob([bytesOf(module)], {type: "text/javascript"}));
  const {default: DataTable} = await import(address);
  URL.revokeObjectURL(address);
  for (const id of ids) {
    const place = document.getElementById(id);
    if (!place) continue;
    const rows = place.tBodies[0].rows.length;
    const table = new DataTable(place, {
      order: [], paging: rows > 25, pageLength: 25, info: rows > 25, autoWidth: false,
      language: {search: "Filter:"},
    });
    if (rows > 25) {  // a printed page has all rows
      addEventListener("beforeprint", () => table.page.len(-1).draw());
      addEventListener("afterprint", () => table.page.len(25).draw());
    }
  }
}

// Paper is white and has no folds.
addEventListener("beforeprint", () => {
  document.documentElement.classList.remove("dark");
  for (const fold of document.querySelectorAll("details:not([open])")) {
    fold.open = true;
    fold.dataset.folded = "yes";
  }
});
addEventListener("afterprint", () => {
  applyScheme();
  for (const fold of document.querySelectorAll("details[data-folded]")) {
    fold.open = false;
    delete fold.dataset.folded;
  }
});
