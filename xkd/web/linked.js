// The page: what is chosen, what follows from it, and what is drawn again.

const $ = id => document.getElementById(id);
const GREY = 255, MOST_ALIKE = 200, CURVE = 31;

// scene: what Python gave; state: what is chosen; alike: {network: colour number of each point}, cells: the same of the picked image's map;
// scores: of each camera, as calibrated (`first`) and nudged.
const looks = { scene: null, state: {}, alike: {}, cells: null, scores: {}, first: {}, waiting: new Map() };

async function unpack(node) {
  if (node && node.dtype) {
    const bytes = Uint8Array.from(atob(node.data), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const types = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };
    return { shape: node.shape, values: new types[node.dtype](await new Response(stream).arrayBuffer()) };
  }
  if (node && typeof node === "object")
    for (const key of Object.keys(node)) if (typeof node[key] === "object") node[key] = await unpack(node[key]);
  return node;
}

async function decoded(camera) {
  camera.picture = new Image();
  camera.picture.src = camera.image;
  await camera.picture.decode();
}

const timed = (name, work) => {
  const start = performance.now(), result = work();
  performance.measure(name, { start });
  return result;
};
// Once what is drawn already can be seen; of several calls in one go only the last counts.
function later(name, work, wait = 0) {
  clearTimeout(looks.waiting.get(work));
  looks.waiting.set(work, setTimeout(() => timed(name, work), wait));
}
const frame = () => looks.scene.frames[looks.state.frame];
const points = () => frame().points.values;
const nudgeOf = name => name === looks.state.camera ? looks.state.nudge : null;
const into = (camera, from) => intoCamera(camera, from, nudgeOf(camera.name), looks.scene.motion);

// What is drawn: colour numbers of the shown frame's points and what they mean, by the name of a colouring.
function colouring(name) {
  if (!name.startsWith("alike")) return { value: frame().colours[name].values, ...looks.scene.colourings[name] };
  const key = name.slice(6), value = looks.alike[key] || new Uint8Array(points().length / 3).fill(GREY);
  return { value, ...looks.scene.alike };
}

const shades = new Map();
function shadesOf(palette) {
  if (!shades.has(palette)) shades.set(palette, Uint32Array.from(palette, packed));
  return shades.get(palette);
}

// The pick: {frame, point, camera, row, column}; a point of that frame's scan, or null where an image shows none; the camera and
// pixel it was picked at, or null.

function choose(pick) {
  looks.state.pick = pick;
  timed("pick", () => {
    compare();
    drawImages();
    drawNetworks();
    drawViews();
  });
  later("pick in 3D", drawCloud);
}

function pickInImage(k, row, column, reach) {
  const camera = frame().cameras[k], from = looks.state.frame;
  const found = projectAll(points(), camera, into(camera, from), frame().seen[from].values, 1 << k);
  let point = null, least = reach ** 2;
  found.index.forEach((i, n) => {
    const far = (found.row[n] - row) ** 2 + (found.column[n] - column) ** 2;
    if (far <= least) [point, least] = [i, far];
  });
  choose({ frame: from, point, camera: k, row, column });
}

// A point of the shown frame, with the pixel of the first of its own images that shows it.
function pickPoint(point) {
  const from = looks.state.frame, seen = frame().seen[from].values[point], p = points().subarray(3 * point);
  const k = frame().cameras.findIndex((camera, n) => seen & (1 << n) && project(camera, into(camera, from), p[0], p[1], p[2]));
  choose({ frame: from, point, ...(k < 0 ? { camera: null } : { camera: k, row: place[0], column: place[1] }) });
}

// The picked point in the axes of the shown frame's LiDAR, or null.
function pickedHere() {
  const { pick } = looks.state, { frames } = looks.scene;
  if (!pick || pick.point === null) return null;
  const [x, y, z] = frames[pick.frame].points.values.subarray(3 * pick.point);
  return apply(multiply(inverse(frame().centre_lidar), frames[pick.frame].centre_lidar), x, y, z);
}

// Which of the shown frame's cameras the pick was made with, by name; the first where it has none of that name.
function pickedCamera() {
  const { pick } = looks.state, name = pick.camera === null ? "" : looks.scene.frames[pick.frame].cameras[pick.camera].name;
  return Math.max(0, frame().cameras.findIndex(camera => camera.name === name));
}

// How alike each point of the shown frame, and each cell of the picked image's feature map, is to the pick, by network.
function compare() {
  const { pick } = looks.state, { frames, networks } = looks.scene, from = frames[pick.frame];
  looks.alike = {};
  looks.cells = null;
  for (const { key } of networks) {
    const { values, shape: [, dim] } = from.features[key].vectors;
    let query = pick.point === null ? null : values.subarray(pick.point * dim, (pick.point + 1) * dim);
    if (key === "teacher" && pick.camera !== null) {
      const camera = from.cameras[pick.camera], [h, w] = camera.cells.shape;
      const r = Math.floor((pick.row + 0.5) / camera.height * h), c = Math.floor((pick.column + 0.5) / camera.width * w);
      const at = (Math.max(0, Math.min(h - 1, r)) * w + Math.max(0, Math.min(w - 1, c))) * dim;
      query = camera.cells.values.subarray(at, at + dim);
      looks.cells = alike({ vectors: { values: camera.cells.values, shape: [h * w, dim] } }, query);
    }
    if (query) looks.alike[key] = alike(frame().features[key], query);
  }
}

// Of the points most alike to the pick, the share that has its label, in words.
function agreement(key) {
  const { pick, frame: now } = looks.state, { frames, classes } = looks.scene, value = looks.alike[key];
  if (!value) return "nothing of the scan was picked";
  if (value.every(v => v === GREY)) return "nothing to compare: all features are the same";
  if (pick.point === null || !frames[pick.frame].labels || !frame().labels) return "";
  const own = frames[pick.frame].labels.values[pick.point], labels = frame().labels.values;
  if (own === GREY) return "the picked point has no label";
  const itself = now === pick.frame ? pick.point : -1;
  const known = [...value.keys()].filter(i => value[i] !== GREY && labels[i] !== GREY && i !== itself);
  const first = known.sort((a, b) => value[b] - value[a]).slice(0, MOST_ALIKE);
  const share = list => (100 * list.filter(i => labels[i] === own).length / Math.max(list.length, 1)).toFixed(0);
  return `of the ${first.length} points most alike ${share(first)} % are ${classes[own]} too (of all: ${share(known)} %)`;
}

// One frame, all of it.
function show(k) {
  looks.state.frame = k;
  timed("frame", () => {
    const { frames } = looks.scene, { id, words, steps, seconds } = frames[k];
    $("frame").value = k;
    const late = steps && seconds !== null ? `, ${seconds > 0 ? "+" : "−"}${Math.abs(seconds).toFixed(2)} s` : "";
    $("when").textContent = when(steps) + late;
    $("count").textContent = `Frame ${id}: ${words}.` + (looks.scene.alone ? ` It stands alone: ${looks.scene.alone}.` : "");
    const cameras = frame().cameras;
    $("images").style.gridTemplateColumns = `repeat(${Math.min(3, cameras.length)}, minmax(0, 1fr))`;
    $("images").replaceChildren(...cameras.map((camera, n) => {
      const figure = document.createElement("figure"), canvas = document.createElement("canvas");
      Object.assign(canvas, { className: "pick", role: "img", ariaLabel: `${camera.name} with the scan's points` });
      canvas.addEventListener("click", event => {
        const scale = camera.width / canvas.clientWidth, at = pixels => pixels * scale - 0.5;
        pickInImage(n, at(event.offsetY), at(event.offsetX), 12 * scale);
      });
      figure.append(canvas, document.createElement("figcaption"));
      return figure;
    }));
    compare();
    drawImages();
    drawNetworks();
    drawViews();
    drawNudged();
    drawLegend();
  });
  later("frame in 3D", drawCloud);
}

async function start() {
  looks.scene = await unpack(JSON.parse($("scene").textContent));
  await Promise.all(looks.scene.frames.flatMap(f => f.cameras.map(decoded)));
  const { scene } = looks, centre = scene.frames.findIndex(f => f.steps === 0);
  $("title").textContent = scene.title;
  looks.state = {
    frame: centre, colour: Object.keys(scene.colourings)[0], outlines: false, dotted: true, camera: scene.camera,
    nudge: { turn: [0, 0, 0], shift: [0, 0, 0], time: 0 }, pick: scene.pick,
  };
  controls();
  show(centre);
  drawCurves();
  const { camera, point, row, column } = scene.pick;
  if (point === null) pickInImage(camera, row, column, 0.02 * frame().cameras[camera].width);
  else pickPoint(point);
  let last = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== last) show(looks.state.frame);
    last = window.innerWidth;
  });
  grow();
  document.body.dataset.ready = "yes";
}

// In a notebook the page lies in a frame, which grows to the page's height.
function grow() {
  try {
    if (window.frameElement) window.frameElement.style.height = `${document.documentElement.scrollHeight + 20}px`;
  } catch { /* a frame of another origin keeps its height */ }
}

start().catch(error => {
  const box = document.createElement("p");
  Object.assign(box, { className: "error", textContent: `This page could not be drawn: ${error.message}` });
  document.body.prepend(box);
  console.error(error);
});
