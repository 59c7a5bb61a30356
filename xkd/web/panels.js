// The views of a pick: images, the scan in 3D, pieces of images, and what is alike to it.

function drawImages() {
  const { state: { frame: now, colour, pick, outlines, dotted } } = looks, { value, palette } = colouring(colour), here = pickedHere();
  frame().cameras.forEach((camera, k) => {
    const box = $("images").children[k], canvas = box.firstChild, T = into(camera, now);
    const drawn = imageOn(canvas, camera), found = projectAll(points(), camera, T, frame().seen[now].values, 1 << k);
    if (outlines && camera.segments) outlinesOn(drawn, camera);
    if (dotted) dotsOn(drawn, found, value, shadesOf(palette), Math.round(2 * drawn.ratio));
    const shown = pick && pick.point !== null && looks.scene.frames[pick.frame].seen[now].values[pick.point] & (1 << k);
    if (shown && project(camera, T, ...here)) ring(drawn.context, drawn.x(place[1]), drawn.y(place[0]), 8, drawn.ratio);
    else if (pick && pick.point === null && pick.frame === now && pick.camera === k)
      ring(drawn.context, drawn.x(pick.column), drawn.y(pick.row), 8, drawn.ratio);
    const count = found.index.length;
    box.lastChild.textContent = `${camera.name}: ${count ? `${count.toLocaleString("en")} points` : "no point of the scan falls into it"}` +
      (nudgeOf(camera.name) && moved() ? ", nudged" : "");
  });
}

// Asked once: a browser gives few such contexts.
function canDraw3D() {
  looks.gl ??= !!document.createElement("canvas").getContext("webgl");
  return looks.gl;
}

function drawCloud() {
  if (!canDraw3D()) {
    $("cloud").style.height = "auto";
    $("cloud").textContent = "The scan cannot be shown in 3D: this browser has no WebGL (or it is switched off). All else on this page works without.";
    return;
  }
  const { value, palette } = colouring(looks.state.colour), here = pickedHere(), p = points(), count = p.length / 3;
  const axis = k => Float32Array.from({ length: count }, (_, i) => p[3 * i + k]);
  const stops = palette.flatMap((rgb, k) => [[k / 256, `rgb(${rgb})`], [(k + 1) / 256, `rgb(${rgb})`]]);
  const cloud = $("cloud"), marker = { size: 1.8, color: value, colorscale: stops, cmin: -0.5, cmax: 255.5 };
  const at = here || [NaN, NaN, NaN];
  if (cloud.shown === looks.state.frame) {
    if (cloud.value !== value || cloud.palette !== palette)
      Plotly.restyle(cloud, { "marker.color": [value], "marker.colorscale": [stops] }, [0]);
    Plotly.restyle(cloud, { x: [[at[0]]], y: [[at[1]]], z: [[at[2]]] }, [1]);
  } else {
    const { reach } = looks.scene, line = { color: "#000000", width: 3 };
    const range = low => ({ range: [-low, low], nticks: 6 });
    // From so far away that the axes stay in a narrow picture too.
    const away = 1.15 * Math.max(1, 1.3 * cloud.clientHeight / cloud.clientWidth);
    const layout = {
      margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, uirevision: "kept", font: { size: 12, color: "#222222" },
      scene: {
        xaxis: { title: { text: "x, forward (m)" }, ...range(reach) }, yaxis: { title: { text: "y, left (m)" }, ...range(reach) },
        zaxis: { title: { text: "z (m)" }, range: [-5, 10], nticks: 3 },
        aspectmode: "manual", aspectratio: { x: 1, y: 1, z: 7.5 / reach },
        camera: { eye: { x: -1.05 * away, y: 0.3 * away, z: 0.75 * away }, center: { x: 0, y: 0, z: -0.2 } },
      },
    };
    const own = { type: "scatter3d", mode: "markers", hoverinfo: "none" };
    Plotly.react(cloud, [
      { ...own, x: axis(0), y: axis(1), z: axis(2), marker },
      { ...own, x: [at[0]], y: [at[1]], z: [at[2]], marker: { size: 9, symbol: "circle-open", color: "#000000", line } },
    ], layout, { displaylogo: false, responsive: true });
    if (cloud.shown === undefined) cloud.on("plotly_click", ({ points: [hit] }) => hit.curveNumber === 0 && pickPoint(hit.pointNumber));
  }
  Object.assign(cloud, { shown: looks.state.frame, value, palette });
}

const when = steps => steps ? `frame ${steps > 0 ? "+" : "−"}${Math.abs(steps)}` : "this frame";

// A piece of every image that shows the pick, with a ring where it is.
function drawViews() {
  const { pick } = looks.state, { frames, classes } = looks.scene, box = $("views");
  box.replaceChildren();
  const shown = [];
  const from = frames[pick.frame], p = pick.point === null ? null : from.points.values.subarray(3 * pick.point);
  frames.forEach((other, n) => other.cameras.forEach((camera, k) => {
    let [row, column, depth] = [pick.row, pick.column, null];
    if (p) {
      if (!(from.seen[n].values[pick.point] & (1 << k))) return;
      if (!project(camera, into(camera, pick.frame), p[0], p[1], p[2])) return;
      [row, column, depth] = place;
    } else if (n !== pick.frame || k !== pick.camera) return;
    shown.push({ camera, other, row, column, depth });
  }));
  // Few are shown large, and more of what is around them.
  const across = shown.length === 1 ? 1 : shown.length <= 4 ? 2 : 3;
  box.style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
  for (const { camera, other, row, column, depth } of shown) {
    const figure = box.appendChild(document.createElement("figure")), canvas = figure.appendChild(document.createElement("canvas"));
    const words = figure.appendChild(document.createElement("figcaption"));
    words.textContent = `${camera.name}, ${when(other.steps)}` + (depth === null ? "" : `, ${depth.toFixed(1)} m`);
    const { context, width, height, ratio } = sized(canvas, 1), reach = Math.max(20, 0.035 * camera.width) * [2.5, 1.5, 1][across - 1];
    const image = camera.picture, scale = image.naturalWidth / camera.width;
    context.fillStyle = "#d9d9d9";
    context.fillRect(0, 0, width, height);
    const [left, top] = [column, row].map(at => (at + 0.5 - reach) * scale), side = 2 * reach * scale;
    context.drawImage(image, left, top, side, side, 0, 0, width, height);
    ring(context, width / 2, height / 2, 7, ratio);
  }
  const label = p && from.labels ? from.labels.values[pick.point] : GREY, count = box.children.length;
  const at = p && [...p.slice(0, 3)].map(v => v.toFixed(1)).join(", ");
  $("picked").textContent = p
    ? `The ring is at one point of ${when(from.steps)}'s scan (x, y, z = ${at} m${label === GREY ? "" : `; ${classes[label]}`}), which ` +
      `${count || "no"} image${count === 1 ? " shows" : "s show"}: all views should be of the same spot of the same thing.`
    : `No point of the scan lies near that pixel: only the ${looks.scene.taught ? "teacher, which sees the image, can" : "image's colours"} say what it is like.`;
}

function drawNetworks() {
  const { pick } = looks.state, { palette } = looks.scene.alike, colours = shadesOf(palette), here = pickedHere();
  const k = pickedCamera(), camera = frame().cameras[k];
  looks.scene.networks.forEach(({ key }, n) => {
    const box = $("networks").children[n], [title, image, scan, words] = box.children;
    const value = looks.alike[key] || new Uint8Array(points().length / 3).fill(GREY), now = looks.state.frame;
    const drawn = imageOn(image, camera, true), T = into(camera, now), bit = 1 << k;
    if (key === "teacher" && looks.cells && now === pick.frame) cellsOn(drawn, looks.cells, camera.cells.shape, colours);
    else dotsOn(drawn, projectAll(points(), camera, T, frame().seen[now].values, bit), value, colours, Math.round(2 * drawn.ratio));
    if (here && project(camera, T, ...here)) ring(drawn.context, drawn.x(place[1]), drawn.y(place[0]), 7, drawn.ratio);
    else if (pick.point === null && now === pick.frame) ring(drawn.context, drawn.x(pick.column), drawn.y(pick.row), 7, drawn.ratio);
    const view = above(scan, points(), value, colours, looks.scene.reach, GREY);
    if (here && Math.max(Math.abs(here[0]), Math.abs(here[1])) <= looks.scene.reach)
      ring(view.context, view.x(here[0], here[1]), view.y(here[0]), 7, view.ratio);
    scan.view = view;
    words.textContent = agreement(key);
  });
}
