// Canvases: an image with dots, a scan from above, scales. Colours are numbers 0xAABBGGRR, as ImageData keeps them.

const WHITE = 0xffffffff;

function packed([r, g, b]) {
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}

// The canvas in as many pixels as the screen has for it; `tall`: its height in widths.
function sized(canvas, tall) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2), width = Math.max(Math.round(canvas.clientWidth * ratio), 1);
  const height = Math.max(Math.round(width * tall), 1);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return { context, width, height, ratio };
}

// Squares of `size` pixels at x, y; with `over`, the largest number of `value` wins a pixel, else the last dot.
function dots(pixels, width, height, x, y, value, colours, size, over) {
  const half = Math.floor(size / 2);
  for (let i = 0; i < x.length; i++) {
    const left = Math.round(x[i]) - half, top = Math.round(y[i]) - half, own = value[i];
    for (let r = Math.max(top, 0); r < Math.min(top + size, height); r++)
      for (let c = Math.max(left, 0); c < Math.min(left + size, width); c++) {
        const at = r * width + c;
        if (over) {
          if (over[at] > own) continue;
          over[at] = own;
        }
        pixels[at] = colours[own];
      }
  }
}

// The image on the canvas, and what takes (row, column) of the image to the canvas; `faint`: without its colours.
function imageOn(canvas, camera, faint) {
  const drawn = sized(canvas, camera.height / camera.width), { context, width, height } = drawn;
  context.filter = faint ? "grayscale(1) brightness(0.8)" : "none";
  context.drawImage(camera.picture, 0, 0, width, height);
  context.filter = "none";
  drawn.scale = width / camera.width;
  drawn.x = column => (column + 0.5) * drawn.scale;
  drawn.y = row => (row + 0.5) * drawn.scale;
  return drawn;
}

function dotsOn(drawn, found, value, colours, size) {
  const { context, width, height } = drawn, data = context.getImageData(0, 0, width, height);
  const x = found.column.map(drawn.x), y = found.row.map(drawn.y);
  dots(new Uint32Array(data.data.buffer), width, height, x, y, found.index.map(i => value[i]), colours, size);
  context.putImageData(data, 0, 0);
}

// Outlines of the superpixels.
function outlinesOn(drawn, camera) {
  const { context, width, height } = drawn, { values, shape: [h, w] } = camera.segments;
  const data = context.getImageData(0, 0, width, height), pixels = new Uint32Array(data.data.buffer);
  const at = (y, x) => values[Math.floor((y + 0.5) / height * h) * w + Math.floor((x + 0.5) / width * w)];
  for (let y = 0; y + 1 < height; y++)
    for (let x = 0; x + 1 < width; x++)
      if (at(y, x) !== at(y, x + 1) || at(y, x) !== at(y + 1, x)) pixels[y * width + x] = WHITE;
  context.putImageData(data, 0, 0);
}

// The cells of a feature map over the image, in the colours of their numbers (h * w).
function cellsOn(drawn, value, [h, w], colours) {
  const small = new OffscreenCanvas(w, h), context = small.getContext("2d"), data = context.createImageData(w, h);
  new Uint32Array(data.data.buffer).set(Uint32Array.from(value, v => colours[v]));
  context.putImageData(data, 0, 0);
  drawn.context.globalAlpha = 0.65;
  drawn.context.imageSmoothingEnabled = false;
  drawn.context.drawImage(small, 0, 0, drawn.width, drawn.height);
  drawn.context.globalAlpha = 1;
}

// Black in white, to be seen on whatever lies below.
function ring(context, x, y, radius, ratio) {
  for (const [colour, line] of [["#ffffff", 4], ["#000000", 2]]) {
    context.beginPath();
    context.arc(x, y, radius * ratio, 0, 2 * Math.PI);
    Object.assign(context, { strokeStyle: colour, lineWidth: line * ratio });
    context.stroke();
  }
}

// A scan from above, forward up: axes in metres to `reach`, dots in the colours of their numbers, the largest on top.
function above(canvas, points, value, colours, reach, grey) {
  const { context, width, height, ratio } = sized(canvas, 1), left = 44 * ratio, bottom = 40 * ratio, edge = 8 * ratio;
  const size = Math.min(width - left - edge, height - bottom - edge), metre = size / (2 * reach);
  const view = { ratio, x: (px, py) => left + size / 2 - py * metre, y: px => edge + size / 2 - px * metre };
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  const data = context.getImageData(0, 0, width, height), over = new Uint8Array(width * height);
  const x = [], y = [], own = [];
  const order = value.map(v => v === grey ? 0 : v + 1), shades = [colours[grey], ...colours.slice(0, grey)];
  for (let i = 0; 3 * i < points.length; i++) {
    if (Math.abs(points[3 * i]) > reach || Math.abs(points[3 * i + 1]) > reach) continue;
    x.push(view.x(points[3 * i], points[3 * i + 1]));
    y.push(view.y(points[3 * i]));
    own.push(order[i]);
  }
  dots(new Uint32Array(data.data.buffer), width, height, x, y, own, shades, Math.round(2 * ratio), over);
  context.putImageData(data, 0, 0);
  Object.assign(context, { strokeStyle: "#222222", fillStyle: "#222222", lineWidth: ratio, font: `${12 * ratio}px sans-serif` });
  context.strokeRect(left, edge, size, size);
  const step = reach > 40 ? 20 : 10;
  for (let m = -Math.floor(reach / step) * step; m <= reach; m += step) {
    const across = left + size / 2 + m * metre, up = edge + size / 2 - m * metre;
    context.textAlign = "center";
    context.fillText(m, across, edge + size + 14 * ratio);
    context.textAlign = "right";
    context.fillText(m, left - 5 * ratio, up + 4 * ratio);
  }
  context.textAlign = "center";
  context.fillText("to the right (m)", left + size / 2, edge + size + 31 * ratio);
  context.save();
  context.translate(13 * ratio, edge + size / 2);
  context.rotate(-Math.PI / 2);
  context.fillText("forward (m)", 0, 0);
  context.restore();
  return { ...view, context, metre, left, edge, size };
}

// What the colours mean, in words: a scale with its ends, or names.
function legend(element, { scale, names, words }, palette) {
  element.replaceChildren();
  const add = (tag, text, style) => {
    const made = element.appendChild(document.createElement(tag));
    made.textContent = text;
    made.style.cssText = style || "";
    return made;
  };
  const css = k => `rgb(${palette[k].join(",")})`;
  // A colour stays on the line of its name.
  const swatch = (k, name) => {
    const colour = document.createElement("i");
    colour.style.cssText = `background:${css(k)};margin-right:.5em;vertical-align:-1px`;
    add("span", name, "white-space:nowrap").prepend(colour);
  };
  if (scale) {
    const stops = Array.from({ length: 12 }, (_, k) => css(Math.round(k * 254 / 11)));
    add("span", `${scale.title}: ${scale.low}`);
    add("i", "", `width:160px;background:linear-gradient(90deg,${stops.join(",")})`);
    add("span", scale.high);
    if (scale.grey) swatch(255, scale.grey);
  }
  for (const [k, name] of names || []) swatch(k, name);
  if (words) add("span", words);
}
