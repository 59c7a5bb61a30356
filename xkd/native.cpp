// The inner loops of the student's training on one CPU thread; built and called by xkd/native.py.
//
// A sparse convolution's products over spconv's index pairs: rows are gathered, multiplied in registers, and added where they
// belong, with no copy of the gathered rows in between.
// A pair (from, to) of a kernel cell says that input row `from` contributes to output row `to`; within one cell no row occurs
// twice on either side, so the rows of a tile never meet.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <vector>
#if defined(__AVX512BF16__) && defined(__AVX512VL__)
#define XKD_HALF
#include <immintrin.h>
#endif

namespace {

template <int LANES> struct Lanes { typedef float type __attribute__((vector_size(4 * LANES), aligned(4))); };

template <class Vector, class Word> inline Vector load(const Word* words) {
    Vector row;
    std::memcpy(&row, words, sizeof row);
    return row;
}

// Keeps the compiler from loading a row again for every product with it.
template <class Vector> inline Vector in_register(Vector row) {
#ifdef __AVX__
    if constexpr (sizeof row >= 16) asm("" : "+x"(row));
#endif
    return row;
}

template <class Vector> inline Vector dot(Vector sum, float a, Vector b) { return sum + a * b; }

#ifdef XKD_HALF
// A word of two factors in bfloat16 that follow one another along what is summed over, the first in its low half: two terms an
// instruction, their sum in float.
inline Lanes<16>::type dot(Lanes<16>::type sum, uint32_t a, Lanes<16>::type b) {
    return (Lanes<16>::type)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(a), (__m512bh)b);
}
inline Lanes<8>::type dot(Lanes<8>::type sum, uint32_t a, Lanes<8>::type b) {
    return (Lanes<8>::type)_mm256_dpbf16_ps((__m256)sum, (__m256bh)_mm256_set1_epi32(a), (__m256bh)b);
}
#endif

// y[to[p], :] += x[from[p], :] w for N pairs at a time and PARTS * LANES columns of w (inputs, outputs), kept in registers; a Word of
// the inputs is one factor (float) or two (uint32_t).
template <int LANES, int PARTS, int N, class Word>
__attribute__((noinline)) // inlined, the loops around it take the registers of its pointers
void rows_product(const Word* x, const int32_t* from, const int32_t* to, int64_t inputs, int64_t outputs, const Word* w, float* y) {
    typedef typename Lanes<LANES>::type Vector;
    Vector sum[N][PARTS];
    const Word* source[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) {
        source[n] = x + from[n] * inputs;
#pragma GCC unroll 4
        for (int part = 0; part < PARTS; part++) sum[n][part] = *(const Vector*)(y + to[n] * outputs + part * LANES);
    }
    for (int64_t i = 0; i < inputs; i++) {
        Vector row[PARTS];
#pragma GCC unroll 4
        for (int part = 0; part < PARTS; part++) row[part] = in_register(load<Vector>(w + i * outputs + part * LANES));
#pragma GCC unroll 8
        for (int n = 0; n < N; n++)
#pragma GCC unroll 4
            for (int part = 0; part < PARTS; part++) sum[n][part] = dot(sum[n][part], source[n][i], row[part]);
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; n++)
#pragma GCC unroll 4
        for (int part = 0; part < PARTS; part++) *(Vector*)(y + to[n] * outputs + part * LANES) = sum[n][part];
}

// Floats in a register of this processor. A wider vector is kept in memory by the compiler, which costs ten times the time.
#if defined(__AVX512F__)
const int WIDEST = 16;
#elif defined(__AVX__)
const int WIDEST = 8;
#else
const int WIDEST = 4;
#endif
template <int N> using Number = std::integral_constant<int, N>;

// Calls run(first column, lanes, parts) for blocks of `parts` registers of `lanes` columns.
template <class Run> void each_block(int64_t outputs, Run run) {
    int64_t c = 0;
    if constexpr (WIDEST == 16) {
        for (; c + 48 <= outputs; c += 48) run(c, Number<16>(), Number<3>());
        for (; c + 32 <= outputs; c += 32) run(c, Number<16>(), Number<2>());
    }
    if constexpr (WIDEST >= 8) {
        for (; c + 24 <= outputs; c += 24) run(c, Number<8>(), Number<3>());
        for (; c + 16 <= outputs; c += 16) run(c, Number<WIDEST>(), Number<16 / WIDEST>());
        for (; c + 8 <= outputs; c += 8) run(c, Number<8>(), Number<1>());
    } else {
        for (; c + 12 <= outputs; c += 12) run(c, Number<4>(), Number<3>());
        for (; c + 8 <= outputs; c += 8) run(c, Number<4>(), Number<2>());
    }
    for (; c + 4 <= outputs; c += 4) run(c, Number<4>(), Number<1>());
    for (; c < outputs; c++) run(c, Number<1>(), Number<1>());
}

// Rows at a time: with AVX-512 there are 32 registers, else 16, for rows times `parts` sums, a row of parts and a factor.
constexpr int rows_of(int parts) { return WIDEST == 16 ? (parts == 3 ? 6 : 8) : parts == 3 ? 4 : parts == 2 ? 6 : 8; }

template <int LANES, int PARTS, int N, class Word>
void columns_product(const Word* x, const int32_t* from, const int32_t* to, int64_t pairs, int64_t inputs, int64_t outputs, const Word* w, float* y) {
    int64_t p = 0;
    for (; p + N <= pairs; p += N) rows_product<LANES, PARTS, N>(x, from + p, to + p, inputs, outputs, w, y);
    for (; p < pairs; p++) rows_product<LANES, PARTS, 1>(x, from + p, to + p, inputs, outputs, w, y);
}

// w[i, :] += sum over pairs of x[from[p], i] g[to[p], :] for N rows i and PARTS * LANES columns.
template <int LANES, int PARTS, int N>
inline void outer_rows(const float* x, const int32_t* from, const float* g, const int32_t* to, int64_t pairs, int64_t inputs, int64_t outputs, float* w) {
    typedef typename Lanes<LANES>::type Vector;
    Vector sum[N][PARTS];
    for (int n = 0; n < N; n++)
        for (int part = 0; part < PARTS; part++) sum[n][part] = *(const Vector*)(w + n * outputs + part * LANES);
    for (int64_t p = 0; p < pairs; p++) {
        const float* source = x + from[p] * inputs;
        const float* gradient = g + to[p] * outputs;
        Vector row[PARTS];
        for (int part = 0; part < PARTS; part++) row[part] = *(const Vector*)(gradient + part * LANES);
        for (int n = 0; n < N; n++)
            for (int part = 0; part < PARTS; part++) sum[n][part] += source[n] * row[part];
    }
    for (int n = 0; n < N; n++)
        for (int part = 0; part < PARTS; part++) *(Vector*)(w + n * outputs + part * LANES) = sum[n][part];
}

template <int LANES, int PARTS>
void outer_columns(const float* x, const int32_t* from, const float* g, const int32_t* to, int64_t pairs, int64_t inputs, int64_t outputs, float* w) {
    const int N = WIDEST == 16 || PARTS == 1 ? 8 : 4;
    int64_t i = 0;
    for (; i + N <= inputs; i += N) outer_rows<LANES, PARTS, N>(x + i, from, g, to, pairs, inputs, outputs, w + i * outputs);
    for (; i < inputs; i++) outer_rows<LANES, PARTS, 1>(x + i, from, g, to, pairs, inputs, outputs, w + i * outputs);
}

const int64_t RUN = 256;

void outer(const float* x, const int32_t* from, const float* g, const int32_t* to, int64_t pairs, int64_t inputs, int64_t outputs, float* w) {
    // In runs of pairs whose rows stay in the cache while every block of the weight passes over them.
    for (int64_t start = 0; start < pairs; start += RUN) {
        const int64_t n = std::min<int64_t>(RUN, pairs - start);
        each_block(outputs, [=](int64_t c, auto lanes, auto parts) {
            outer_columns<lanes, parts>(x, from + start, g + c, to + start, n, inputs, outputs, w + c);
        });
    }
}

#ifdef XKD_HALF
// w[i, :] += sum over `steps` words of x[step, i] g[step, :] for N rows i and PARTS * LANES columns.
template <int LANES, int PARTS, int N>
inline void half_outer_rows(const uint32_t* x, const uint32_t* g, int64_t steps, int64_t inputs, int64_t outputs, float* w) {
    typedef typename Lanes<LANES>::type Vector;
    Vector sum[N][PARTS];
    for (int n = 0; n < N; n++)
        for (int part = 0; part < PARTS; part++) sum[n][part] = *(const Vector*)(w + n * outputs + part * LANES);
    for (int64_t step = 0; step < steps; step++) {
        Vector row[PARTS];
        for (int part = 0; part < PARTS; part++) row[part] = load<Vector>(g + step * outputs + part * LANES);
        for (int n = 0; n < N; n++)
            for (int part = 0; part < PARTS; part++) sum[n][part] = dot(sum[n][part], x[step * inputs + n], row[part]);
    }
    for (int n = 0; n < N; n++)
        for (int part = 0; part < PARTS; part++) *(Vector*)(w + n * outputs + part * LANES) = sum[n][part];
}

template <int LANES, int PARTS>
void half_outer_columns(const uint32_t* x, const uint32_t* g, int64_t steps, int64_t inputs, int64_t outputs, float* w) {
    int64_t i = 0;
    for (; i + 8 <= inputs; i += 8) half_outer_rows<LANES, PARTS, 8>(x + i, g, steps, inputs, outputs, w + i * outputs);
    for (; i + 2 <= inputs; i += 2) half_outer_rows<LANES, PARTS, 2>(x + i, g, steps, inputs, outputs, w + i * outputs);
    for (; i < inputs; i++) half_outer_rows<LANES, PARTS, 1>(x + i, g, steps, inputs, outputs, w + i * outputs);
}

// Rows of a (rows, width) matrix, two at a time and side by side: out[step, c] holds x[row[2 step], c] and x[row[2 step + 1], c], or zero.
void interleave(const uint16_t* x, const int32_t* row, int64_t rows, int64_t width, uint32_t* out) {
    for (int64_t p = 0; p < rows; p += 2, out += width) {
        const uint16_t *a = x + row[p] * width, *b = x + row[std::min(p + 1, rows - 1)] * width;
        const uint32_t second = p + 1 < rows ? 0xffff0000 : 0;
        for (int64_t c = 0; c < width; c++) out[c] = a[c] | ((uint32_t)b[c] << 16 & second);
    }
}
#endif

// Calls run(cell, from, to, pairs) for every kernel cell. In a submanifold convolution of `same` > 0 rows spconv counts the pairs of the
// cells before the central one alone; the central one takes every row to itself, those behind mirror those before.
template <class Run>
void each_cell(const int32_t* from, const int32_t* to, const int32_t* count, int64_t cells, int64_t stride, int64_t same, Run run) {
    for (int64_t k = 0; k < cells; k++) {
        const int64_t pairs = !same ? count[k] : 2 * k + 1 == cells ? same : count[std::min(k, cells - 1 - k)];
        run(k, from + k * stride, to + k * stride, pairs);
    }
}

// Rows of (batch, z, y, x) cells by their place: open addressing, a power of two of slots, at most half of them in use.
struct Places {
    struct Slot {
        uint64_t key;
        int64_t row;
    };
    std::vector<Slot> slots;
    uint64_t mask;

    explicit Places(int64_t count) {
        uint64_t size = 16;
        while (size < 2 * (uint64_t)count) size *= 2;
        slots.assign(size, {0, -1});
        mask = size - 1;
    }
    static uint64_t key(int64_t b, int64_t z, int64_t y, int64_t x) {
        return (uint64_t)b << 48 | (uint64_t)(z & 0xffff) << 32 | (uint64_t)(y & 0xffff) << 16 | (uint64_t)(x & 0xffff);
    }
    // The slot of a key, or the free one where it would go.
    uint64_t slot(uint64_t key) const {
        uint64_t at = (key * 0x9e3779b97f4a7c15ull) >> 20 & mask;
        while (slots[at].row >= 0 && slots[at].key != key) at = (at + 1) & mask;
        return at;
    }
    int32_t find(uint64_t key) const { return slots[slot(key)].row; }
    int32_t add(uint64_t key, int32_t row) {
        Slot& place = slots[slot(key)];
        if (place.row < 0) place = {key, row};
        return place.row;
    }
};

// total[c] += value(r, c) over all rows for `parts` quantities a channel: short runs in float, their totals in double.
template <int PARTS, class Value>
void channel_sums(int64_t rows, int64_t channels, double* total, Value value) {
    std::vector<float> run(PARTS * channels);
    std::fill(total, total + PARTS * channels, 0.0);
    for (int64_t start = 0; start < rows; start += 256) {
        std::fill(run.begin(), run.end(), 0.0f);
        for (int64_t r = start; r < std::min(start + 256, rows); r++) value(r, run.data());
        for (int64_t c = 0; c < PARTS * channels; c++) total[c] += run[c];
    }
}

}  // namespace

extern "C" {

// Batch norm over rows and a rectifier: y = max(0, scale (x - mean) / sqrt(variance + epsilon) + shift). Fills mean, variance (biased) and y.
void xkd_norm(const float* x, int64_t rows, int64_t channels, const float* scale, const float* shift, float epsilon, float* mean,
              float* variance, float* y) {
    std::vector<double> total(2 * channels);
    channel_sums<1>(rows, channels, total.data(), [=](int64_t r, float* run) {
        for (int64_t c = 0; c < channels; c++) run[c] += x[r * channels + c];
    });
    for (int64_t c = 0; c < channels; c++) mean[c] = total[c] / rows;
    channel_sums<1>(rows, channels, total.data(), [=](int64_t r, float* run) {
        for (int64_t c = 0; c < channels; c++) {
            const float d = x[r * channels + c] - mean[c];
            run[c] += d * d;
        }
    });
    std::vector<float> factor(channels), offset(channels);
    for (int64_t c = 0; c < channels; c++) {
        variance[c] = total[c] / rows;
        factor[c] = scale[c] / std::sqrt(variance[c] + epsilon);
        offset[c] = shift[c] - mean[c] * factor[c];
    }
    const float *a = factor.data(), *b = offset.data();
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++) {
            const float value = x[r * channels + c] * a[c] + b[c];
            y[r * channels + c] = value < 0 ? 0 : value;  // what is no number stays none
        }
}

// Gradients of xkd_norm with regard to x, scale and shift, given y and the gradient g of y.
void xkd_norm_backward(const float* x, const float* y, const float* g, int64_t rows, int64_t channels, const float* scale, float epsilon,
                       const float* mean, const float* variance, float* dx, float* dscale, float* dshift) {
    std::vector<double> total(2 * channels);
    channel_sums<2>(rows, channels, total.data(), [=](int64_t r, float* run) {
        for (int64_t c = 0; c < channels; c++) {
            const float passed = y[r * channels + c] > 0 ? g[r * channels + c] : 0;
            run[c] += passed;
            run[channels + c] += passed * (x[r * channels + c] - mean[c]);
        }
    });
    std::vector<float> factor(channels), slope(channels), offset(channels);
    for (int64_t c = 0; c < channels; c++) {
        const double deviation = std::sqrt((double)variance[c] + epsilon);
        dshift[c] = total[c];
        dscale[c] = total[channels + c] / deviation;
        factor[c] = scale[c] / deviation;
        slope[c] = -factor[c] * total[channels + c] / (rows * deviation * deviation);
        offset[c] = -factor[c] * total[c] / rows - slope[c] * mean[c];
    }
    const float *a = factor.data(), *s = slope.data(), *b = offset.data();
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++) {
            const int64_t at = r * channels + c;
            dx[at] = (y[at] > 0 ? g[at] : 0) * a[c] + x[at] * s[c] + b[c];
        }
}

// Pairs of a 3 x 3 x 3 submanifold convolution, as spconv lists them: for each kernel cell the rows (from, to) where `from` lies at that
// cell around `to`; only the 13 cells before the central one are counted. cells (n, 4); from, to (27, n); count (27). Returns 0, or 1 + the
// first row whose cell occurred before.
int64_t xkd_neighbours(const int32_t* cells, int64_t n, int32_t* from, int32_t* to, int32_t* count) {
    Places places(n);
    for (int64_t i = 0; i < n; i++) {
        const int32_t* c = cells + 4 * i;
        if (places.add(Places::key(c[0], c[1], c[2], c[3]), i) != i) return 1 + i;
    }
    for (int k = 0; k < 13; k++) {
        const int dz = k / 9 - 1, dy = k / 3 % 3 - 1, dx = k % 3 - 1;
        int32_t *a = from + k * n, *b = to + k * n, found = 0;
        for (int64_t i = 0; i < n; i++) {
            const int32_t* c = cells + 4 * i;
            const int32_t z = c[1] + dz, y = c[2] + dy, x = c[3] + dx;
            const int32_t row = z < 0 || y < 0 || x < 0 ? -1 : places.find(Places::key(c[0], z, y, x));
            if (row >= 0) a[found] = row, b[found] = i, found++;
        }
        count[k] = found;
        std::copy(a, a + found, to + (26 - k) * n);
        std::copy(b, b + found, from + (26 - k) * n);
    }
    std::iota(from + 13 * n, from + 14 * n, 0);
    std::iota(to + 13 * n, to + 14 * n, 0);
    return 0;
}

// Pairs of a 2 x 2 x 2 convolution of stride 2: coarse (n, 4) gets the cells it leads to, in the order of their first fine cell.
// from (rows of cells), to (rows of coarse) are (8, n). Returns how many coarse cells there are.
int64_t xkd_coarser(const int32_t* cells, int64_t n, int32_t* coarse, int32_t* from, int32_t* to, int32_t* count) {
    Places places(n);
    int32_t rows = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t* c = cells + 4 * i;
        const int32_t z = c[1] >> 1, y = c[2] >> 1, x = c[3] >> 1;
        const int32_t row = places.add(Places::key(c[0], z, y, x), rows);
        if (row == rows) {
            int32_t* made = coarse + 4 * rows++;
            made[0] = c[0], made[1] = z, made[2] = y, made[3] = x;
        }
        const int k = (c[1] & 1) * 4 + (c[2] & 1) * 2 + (c[3] & 1);
        from[k * n + count[k]] = i, to[k * n + count[k]++] = row;
    }
    return rows;
}

// y (rows, outputs) += x[from] w[cell] over all pairs; w (cells, inputs, outputs), from and to (cells, stride).
void xkd_product(const float* x, const int32_t* from, const int32_t* to, const int32_t* count, int64_t cells, int64_t stride,
                 int64_t same, int64_t inputs, int64_t outputs, const float* w, float* y) {
    each_cell(from, to, count, cells, stride, same, [=](int64_t k, const int32_t* a, const int32_t* b, int64_t n) {
        each_block(outputs, [=](int64_t c, auto lanes, auto parts) {
            columns_product<lanes, parts, rows_of(parts)>(x, a, b, n, inputs, outputs, w + k * inputs * outputs + c, y + c);
        });
    });
}

// w[cell] += x[from]^T g[to] over all pairs of each cell; shapes as above.
void xkd_outer(const float* x, const float* g, const int32_t* from, const int32_t* to, const int32_t* count, int64_t cells,
               int64_t stride, int64_t same, int64_t inputs, int64_t outputs, float* w) {
    each_cell(from, to, count, cells, stride, same, [=](int64_t k, const int32_t* a, const int32_t* b, int64_t n) {
        outer(x, a, g, b, n, inputs, outputs, w + k * inputs * outputs);
    });
}

#ifdef XKD_HALF
// The nearest bfloat16, ties to even, as torch rounds.
inline uint32_t half(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return value == value ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fc0;
}

// Weights w[k * s + i * t + o * u] -> words (cells, inputs / 2, outputs) for xkd_product_half; inputs even.
void xkd_words(const float* w, int64_t cells, int64_t inputs, int64_t outputs, int64_t s, int64_t t, int64_t u, uint32_t* words) {
    for (int64_t k = 0; k < cells; k++)
        for (int64_t i = 0; i < inputs; i += 2) {
            const float* row = w + k * s + i * t;
            for (int64_t o = 0; o < outputs; o++) *words++ = half(row[o * u]) | half(row[o * u + t]) << 16;
        }
}

// xkd_product with x (rows, words) and w (cells, words, outputs) of two bfloat16 each; outputs a multiple of 8.
void xkd_product_half(const uint32_t* x, const int32_t* from, const int32_t* to, const int32_t* count, int64_t cells, int64_t stride,
                      int64_t same, int64_t words, int64_t outputs, const uint32_t* w, float* y) {
    each_cell(from, to, count, cells, stride, same, [=](int64_t k, const int32_t* a, const int32_t* b, int64_t n) {
        each_block(outputs, [=](int64_t c, auto lanes, auto parts) {
            columns_product<lanes, parts, rows_of(parts)>(x, a, b, n, words, outputs, w + k * words * outputs + c, y + c);
        });
    });
}

// xkd_outer with x and g of bfloat16; outputs a multiple of 8.
void xkd_outer_half(const uint16_t* x, const uint16_t* g, const int32_t* from, const int32_t* to, const int32_t* count, int64_t cells,
                    int64_t stride, int64_t same, int64_t inputs, int64_t outputs, float* w) {
    std::vector<uint32_t> left(RUN / 2 * inputs), right(RUN / 2 * outputs);
    uint32_t *xs = left.data(), *gs = right.data();
    each_cell(from, to, count, cells, stride, same, [=](int64_t k, const int32_t* a, const int32_t* b, int64_t n) {
        for (int64_t start = 0; start < n; start += RUN) {
            const int64_t pairs = std::min(RUN, n - start);
            interleave(x, a + start, pairs, inputs, xs);
            interleave(g, b + start, pairs, outputs, gs);
            each_block(outputs, [=](int64_t c, auto lanes, auto parts) {
                half_outer_columns<lanes, parts>(xs, gs + c, (pairs + 1) / 2, inputs, outputs, w + k * inputs * outputs + c);
            });
        }
    });
}
#endif
}
