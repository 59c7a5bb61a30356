// The camera models of xkd/geometry.py and the score of xkd/alignment.py, on typed arrays.
// Matrices are 16 numbers, row by row; `T_a_b` maps b into a; points are x, y, z in metres one after the other.

const MIN_DEPTH = 0.1;

function multiply(A, B) {
  const C = new Float64Array(16);
  for (let r = 0; r < 4; r++)
    for (let c = 0; c < 4; c++)
      for (let k = 0; k < 4; k++) C[4 * r + c] += A[4 * r + k] * B[4 * k + c];
  return C;
}

// Rotation vector (radians) and shift (metres) -> (4, 4), by Rodrigues' formula.
function rigid([x, y, z], shift) {
  const angle = Math.hypot(x, y, z), c = Math.cos(angle);
  const s = angle > 1e-12 ? Math.sin(angle) / angle : 1, d = angle > 1e-12 ? (1 - c) / angle ** 2 : 0.5;
  return Float64Array.of(
    c + d * x * x, d * x * y - s * z, d * x * z + s * y, shift[0],
    d * x * y + s * z, c + d * y * y, d * y * z - s * x, shift[1],
    d * x * z - s * y, d * y * z + s * x, c + d * z * z, shift[2],
    0, 0, 0, 1);
}

// The inverse of a rotation with a shift.
function inverse(T) {
  const R = new Float64Array(16);
  for (let r = 0; r < 3; r++) {
    for (let c = 0; c < 3; c++) R[4 * r + c] = T[4 * c + r];
    R[4 * r + 3] = -(T[r] * T[3] + T[4 + r] * T[7] + T[8 + r] * T[11]);
  }
  R[15] = 1;
  return R;
}

function apply(T, x, y, z) {
  return [0, 4, 8].map(r => T[r] * x + T[r + 1] * y + T[r + 2] * z + T[r + 3]);
}

// Points of the sweep `from` into a camera that is turned and shifted about its own axes, `nudge.turn` (degrees) and
// `nudge.shift` (metres), and whose image was taken `nudge.time` milliseconds later than its stamp says.
function intoCamera(camera, from, nudge, motion) {
  let T = camera.rig_lidar[from];
  if (!nudge) return multiply(camera.cam_rig, T);
  if (motion && nudge.time) {
    const s = nudge.time / 1000;
    T = multiply(inverse(rigid(motion.turn.map(w => w * s), motion.speed.map(v => v * s))), T);
  }
  const moved = rigid(nudge.turn.map(degrees => degrees * Math.PI / 180), nudge.shift);
  return multiply(inverse(moved), multiply(camera.cam_rig, T));
}

const place = new Float64Array(3);  // row, column, depth of the last point that `project` was asked for

// One point; false where it is not in the image. The models are those of xkd/kernels.py, in its order of operations.
function project(camera, T, x, y, z) {
  const depth = T[8] * x + T[9] * y + T[10] * z + T[11];
  if (!(depth > MIN_DEPTH)) return false;
  let a = (T[0] * x + T[1] * y + T[2] * z + T[3]) / depth, b = (T[4] * x + T[5] * y + T[6] * z + T[7]) / depth;
  const { K, distortion: d, model } = camera, square = a * a + b * b;
  if (camera.limit !== null && square > camera.limit ** 2) return false;
  if (model === 1) {
    const scale = (1 + square * (d[0] + square * (d[1] + square * d[4]))) /
      (1 + square * (d[5] + square * (d[6] + square * d[7])));
    [a, b] = [a * scale + 2 * d[2] * a * b + d[3] * (square + 2 * a * a),
      b * scale + d[2] * (square + 2 * b * b) + 2 * d[3] * a * b];
  } else if (model === 2) {
    const radius = Math.sqrt(square);
    if (radius > 1e-9) {
      const angle = Math.atan(radius), s = angle * angle;
      const scale = angle * (1 + s * (d[0] + s * (d[1] + s * (d[2] + s * d[3])))) / radius;
      a *= scale;
      b *= scale;
    }
  }
  place[0] = K[4] * b + K[5];
  place[1] = K[0] * a + K[1] * b + K[2];
  place[2] = depth;
  return place[0] >= -0.5 && place[0] < camera.height - 0.5 && place[1] >= -0.5 && place[1] < camera.width - 0.5;
}

// Every point in the image -> its number, row, column and depth. `seen` and `bit`: only points with that bit set.
function projectAll(points, camera, T, seen, bit) {
  const index = [], row = [], column = [], depth = [];
  for (let i = 0; 3 * i < points.length; i++) {
    if (seen && !(seen[i] & bit)) continue;
    if (!project(camera, T, points[3 * i], points[3 * i + 1], points[3 * i + 2])) continue;
    index.push(i);
    row.push(place[0]);
    column.push(place[1]);
    depth.push(place[2]);
  }
  return { index, row, column, depth };
}

// xkd.alignment.score: the mean edge of the image at the scan's edges, less that at its other points; and how many edges.
function score(points, edges, camera, T) {
  const { strength, step } = camera, [height, width] = strength.shape;
  const sum = [0, 0], count = [0, 0];
  for (let i = 0; 3 * i < points.length; i++) {
    if (!project(camera, T, points[3 * i], points[3 * i + 1], points[3 * i + 2])) continue;
    const row = Math.min(Math.floor(Math.floor(place[0] + 0.5) / step), height - 1);
    const column = Math.min(Math.floor(Math.floor(place[1] + 0.5) / step), width - 1);
    sum[edges[i]] += strength.values[row * width + column] / 127;
    count[edges[i]]++;
  }
  return { score: sum[1] / count[1] - sum[0] / count[0], edges: count[1] };
}

// Cosine of each feature with the query -> 0..254 for -1..1, and 255 where a point has no feature.
function alike(features, query) {
  const { values, shape: [count, dim] } = features.vectors, found = new Uint8Array(count).fill(255);
  let length = 0;
  for (let k = 0; k < dim; k++) length += query[k] ** 2;
  length = Math.sqrt(length);
  for (let i = 0; i < count; i++) {
    let dot = 0, own = 0;
    for (let k = 0, at = i * dim; k < dim; k++, at++) {
      dot += values[at] * query[k];
      own += values[at] * values[at];
    }
    if (own && length) found[i] = Math.round(127 * (1 + Math.max(-1, Math.min(1, dot / (Math.sqrt(own) * length)))));
  }
  return found;
}
