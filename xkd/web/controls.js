// What can be chosen: frame, colours, places, and the sliders of the nudge.

const AXES = ["x, right", "y, down", "z, forward"];
const SLIDERS = [
  ...AXES.map((name, k) => ({ name: `${name} (°)`, key: "turn", k, most: 3, step: 0.05, digits: 2 })),
  ...AXES.map((name, k) => ({ name: `${name} (m)`, key: "shift", k, most: 0.5, step: 0.01, digits: 2 })),
  { name: "later by (ms)", key: "time", most: 500, step: 5, digits: 0 },
];
const GROUPS = { turn: "turn about the camera's own axes", shift: "shift along them", time: "time of the image" };

function drawLegend() {
  const chosen = colouring(looks.state.colour);
  legend($("legend"), chosen, chosen.palette);
}

// Whose likeness is shown, and what is missing for more.
function introduce() {
  const { networks, taught } = looks.scene, studied = networks.length > 1;
  const source = taught ? "to the teacher, which sees images" : "by the raw colours and texture of the images, which stand in for a teacher";
  const student = `, and to the student, which sees the scan alone${taught ? ", before and after it learnt from a teacher's features" : ", before and after its training"}`;
  $("likeness").textContent = `How much every other place is like the picked one: ${source}${studied ? student : ""}.`;
  const missing = [taught ? "" : "a teacher (features = FOLDER of its maps)", studied ? "" : "a student (student = its FOLDER)"].filter(Boolean);
  $("missing").hidden = !missing.length;
  $("missing").textContent = `Not here: ${missing.join(" and ")}. Say it so in the notebook's first cell, or as --features FOLDER and --student FOLDER to python -m xkd.looks.`;
}

function controls() {
  const { frames, networks, colourings, places, motion } = looks.scene, { state } = looks;
  const options = (select, names) => select.replaceChildren(...names.map(([value, text]) => new Option(text, value)));
  $("frame").max = frames.length - 1;
  $("frames").hidden = frames.length < 2;
  $("frame").addEventListener("input", () => show(Number($("frame").value)));
  const own = Object.keys(colourings).map(name => [name, name]);
  options($("colour"), [...own, ...networks.map(({ key, title }) => [`alike ${key}`, `alike: ${title}`])]);
  $("colour").addEventListener("change", () => {
    state.colour = $("colour").value;
    drawImages();
    drawLegend();
    later("colours in 3D", drawCloud);
  });
  $("outlined").hidden = !frames.some(f => f.cameras.some(c => c.segments));
  for (const name of ["outlines", "dotted"])
    $(name).addEventListener("change", () => {
      state[name] = $(name).checked;
      drawImages();
    });
  for (const { name, frame: k, point } of places) {
    const button = $("places").appendChild(document.createElement("button"));
    button.textContent = name;
    button.addEventListener("click", () => {
      if (state.frame !== k) show(k);
      pickPoint(point);
    });
  }
  $("networks").style.gridTemplateColumns = `repeat(${networks.length}, minmax(0, 1fr))`;
  $("networks").classList.toggle("single", networks.length === 1);
  introduce();
  for (const { key, title, name, colour } of networks) {
    const box = $("networks").appendChild(document.createElement("figure"));
    const canvas = '<canvas class="pick" role="img"></canvas>';
    box.innerHTML = `<div></div>${canvas}${canvas}<figcaption></figcaption>`;
    const [head, image, scan] = box.children;
    head.style.borderColor = colour;
    head.append(Object.assign(document.createElement("b"), { textContent: title }), document.createElement("br"), name);
    [image.ariaLabel, scan.ariaLabel] = [`${title}: alike in the image`, `${title}: alike in the scan, from above`];
    image.addEventListener("click", event => {
      const k = pickedCamera(), scale = frame().cameras[k].width / image.clientWidth;
      pickInImage(k, event.offsetY * scale - 0.5, event.offsetX * scale - 0.5, 12 * scale);
    });
    scan.addEventListener("click", event => {
      const { ratio, x, y } = scan.view, at = [event.offsetX * ratio, event.offsetY * ratio], p = points();
      let point = null, least = Infinity;
      for (let i = 0; 3 * i < p.length; i++) {
        const far = (x(p[3 * i], p[3 * i + 1]) - at[0]) ** 2 + (y(p[3 * i]) - at[1]) ** 2;
        if (far < least) [point, least] = [i, far];
      }
      pickPoint(point);
    });
  }
  legend($("scale"), looks.scene.alike, looks.scene.alike.palette);
  options($("camera"), looks.scene.cameras.map(name => [name, name]));
  $("camera").value = state.camera;
  $("camera").addEventListener("change", () => {
    state.camera = $("camera").value;
    nudge({});
  });
  $("reset").addEventListener("click", () => nudge({ turn: [0, 0, 0], shift: [0, 0, 0], time: 0 }));
  for (const slider of SLIDERS) {
    const { name, key, k, most, step } = slider, box = $("sliders");
    if (!k) box.appendChild(document.createElement("b")).textContent = GROUPS[key];
    const label = box.appendChild(document.createElement("label"));
    label.textContent = name;
    label.htmlFor = `${key}${k ?? ""}`;
    slider.input = box.appendChild(document.createElement("input"));
    Object.assign(slider.input, { type: "range", id: label.htmlFor, min: -most, max: most, step });
    slider.output = box.appendChild(document.createElement("output"));
    slider.input.addEventListener("input", () => {
      const value = Number(slider.input.value);
      nudge(key === "time" ? { time: value } : { [key]: state.nudge[key].map((w, n) => n === k ? value : w) });
    });
    if (key === "time" && !motion) {
      slider.input.disabled = true;
      label.textContent = looks.scene.still;
    }
  }
}
