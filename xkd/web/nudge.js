// The nudge of one camera: its score over all frames shown, and what it would be along each axis.

const unmoved = { turn: [0, 0, 0], shift: [0, 0, 0], time: 0 };
const moved = () => looks.state.nudge.time !== 0 || [...looks.state.nudge.turn, ...looks.state.nudge.shift].some(v => v !== 0);

// Of a camera in all frames that have it: the mean score, weighted by the numbers of edge points, and their sum.
function scoreOf(name, nudge) {
  let total = 0, edges = 0;
  looks.scene.frames.forEach((own, k) => {
    const camera = own.cameras.find(c => c.name === name);
    if (!camera) return;
    const found = score(own.points.values, own.edges.values, camera, intoCamera(camera, k, nudge, looks.scene.motion));
    if (Number.isNaN(found.score)) return;
    total += found.score * found.edges;
    edges += found.edges;
  });
  return { score: total / edges, edges };
}

function nudge(change) {
  looks.state.nudge = { ...looks.state.nudge, ...change };
  timed("nudge", () => {
    drawImages();
    drawViews();
    drawNudged();
  });
  later("curves", drawCurves, 150);
}

function drawNudged() {
  const { nudge, camera: name, frame: now } = looks.state, camera = frame().cameras.find(c => c.name === name);
  SLIDERS.forEach(slider => {
    const value = slider.key === "time" ? nudge.time : nudge[slider.key][slider.k];
    slider.input.value = value;
    slider.output.textContent = value.toFixed(slider.digits);
  });
  $("nudged").style.display = camera ? "block" : "none";
  $("without").textContent = camera ? "" : `Frame ${frame().id} has no image of ${name}.`;
  if (camera) {
    const drawn = imageOn($("nudged"), camera), edges = frame().edges.values, found = projectAll(points(), camera, into(camera, now));
    const colours = [packed([86, 180, 233]), packed([230, 159, 0])], size = Math.round(drawn.ratio);
    const only = wanted => Object.fromEntries(["index", "row", "column"].map(key =>
      [key, found[key].filter((_, i) => edges[found.index[i]] === wanted)]));
    dotsOn(drawn, only(0), edges, colours, size);
    dotsOn(drawn, only(1), edges, colours, 3 * size);
  }
  const table = document.createElement("table"), row = (...cells) => cells.forEach((text, k) => {
    const line = k ? table.lastChild : table.appendChild(document.createElement("tr"));
    line.appendChild(document.createElement(table.rows.length > 1 ? "td" : "th")).textContent = text;
  });
  row("score of", "as calibrated", "now", "edge points");
  for (const own of looks.scene.cameras) {
    const first = looks.first[own] ??= scoreOf(own, unmoved), last = own === name ? scoreOf(own, nudge) : first;
    looks.scores[own] = { first: first.score, now: last.score, edges: last.edges };
    row(own, ...[first.score, last.score].map(v => Number.isNaN(v) ? "–" : v.toFixed(3)), last.edges.toLocaleString("en"));
    table.lastChild.className = own === name ? "now" : "";
  }
  $("scores").replaceChildren(table);
}

function drawCurves() {
  const { nudge, camera: name } = looks.state, first = looks.first[name], traces = [];
  const place = $("curves");
  if (!first.edges) {
    Plotly.purge(place);
    place.textContent = `No edge of the scan lies in ${name}: it has no score.`;
    return;
  }
  if (!place.data) place.replaceChildren();
  // Plotly leaves out null, and stumbles over NaN.
  const of = nudge => { const found = scoreOf(name, nudge); return found.edges ? found.score : null; };
  const now = of(nudge), dashes = ["solid", "dash", "dot"];
  // One panel for each of what can be nudged: a single frame has no motion, and an empty panel would have an axis without a range.
  const free = SLIDERS.filter(slider => !slider.input.disabled), keys = [...new Set(free.map(slider => slider.key))];
  for (const { key, k = 0, most } of free) {
    const changed = v => ({ ...nudge, [key]: key === "time" ? v : nudge[key].map((w, n) => n === k ? v : w) });
    const x = Array.from({ length: CURVE }, (_, i) => most * (2 * i / (CURVE - 1) - 1));
    const panel = keys.indexOf(key), axes = panel ? { xaxis: `x${panel + 1}`, yaxis: `y${panel + 1}` } : {};
    const line = { color: looks.scene.axes[k], dash: dashes[k] }, y = x.map(v => of(changed(v)));
    traces.push({ ...axes, x, y, mode: "lines", line, name: "xyz"[k], showlegend: panel === 0 });
    const at = key === "time" ? nudge.time : nudge[key][k], marker = { size: 9, color: line.color };
    traces.push({ ...axes, x: [at], y: [now], mode: "markers", marker, showlegend: false, hoverinfo: "skip" });
  }
  const error = 2 * looks.scene.error / Math.sqrt(first.edges);
  const base = { zeroline: true, zerolinecolor: "#999999", showline: true, ticks: "outside" };
  const layout = {
    margin: { l: 80, r: 25, t: 10, b: 50 }, font: { size: 12, color: "#222222" }, grid: { rows: 1, columns: keys.length, pattern: "independent" },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", title: { text: "about or along the camera's axis" } },
    shapes: keys.map((_, k) => ({
      type: "rect", xref: k ? `x${k + 1} domain` : "x domain", yref: k ? `y${k + 1}` : "y", x0: 0, x1: 1, line: { width: 0 },
      y0: first.score - error, y1: first.score + error, fillcolor: "#d9d9d9", opacity: 0.5, layer: "below",
    })),
  };
  const titles = { turn: "turn (°)", shift: "shift (m)", time: "image taken later by (ms)" };
  keys.map(key => titles[key]).forEach((text, k) => {
    layout[`xaxis${k ? k + 1 : ""}`] = { ...base, title: { text } };
    layout[`yaxis${k ? k + 1 : ""}`] = k ? { ...base, matches: "y" } : { ...base, title: { text: `score of ${name}`, standoff: 15 } };
  });
  Plotly.react(place, traces, layout, { displaylogo: false, responsive: true });
}
