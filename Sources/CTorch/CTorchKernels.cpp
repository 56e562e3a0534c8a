// CPU kernels for what LibTorch composes of many passes over memory: root-mean-square norm, rotary embedding, the gated unit
// and attention's softmax, forward and backward each in one pass. Other devices and types take LibTorch's own operations.
#include "Parallel.h"
#include "Support.h"
#include "Vectorized.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

using namespace ctorch;

namespace {

// MARK: Root-mean-square norm

template <class T>
CT_INLINE void normForward(const T *x, const T *weight, T *y, float *scale, int64_t rows, int64_t width, float epsilon) {
    for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
        float squares = 0;
        {
#pragma clang fp reassociate(on)
            for (int64_t i = 0; i < width; ++i) squares += wide(x[i]) * wide(x[i]);
        }
        const float factor = 1 / std::sqrt(squares / static_cast<float>(width) + epsilon);
        scale[row] = factor;
        for (int64_t i = 0; i < width; ++i) store(y[i], wide(x[i]) * factor * wide(weight[i]));
    }
}

template <class T>
CT_INLINE void normBackward(const T *gradient, const T *x, const T *weight, const float *scale, T *dx, float *dWeight, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row, x += width, gradient += width, dx += width) {
        const float factor = scale[row];
        float product = 0;
        {
#pragma clang fp reassociate(on)
            for (int64_t i = 0; i < width; ++i) product += wide(gradient[i]) * wide(weight[i]) * wide(x[i]);
        }
        const float along = product * factor * factor / static_cast<float>(width);
        for (int64_t i = 0; i < width; ++i) {
            const float g = wide(gradient[i]), value = wide(x[i]);
            dWeight[i] += g * value * factor;
            store(dx[i], factor * (g * wide(weight[i]) - value * along));
        }
    }
}

CT_VECTORIZED void normForwardFloat(const float *x, const float *w, float *y, float *s, int64_t rows, int64_t width, float epsilon) {
    normForward(x, w, y, s, rows, width, epsilon);
}
CT_VECTORIZED void normForwardBrain(const Brain *x, const Brain *w, Brain *y, float *s, int64_t rows, int64_t width, float epsilon) {
    normForward(x, w, y, s, rows, width, epsilon);
}
CT_VECTORIZED void normBackwardFloat(const float *g, const float *x, const float *w, const float *s, float *dx, float *dw, int64_t rows, int64_t width) {
    normBackward(g, x, w, s, dx, dw, rows, width);
}
CT_VECTORIZED void normBackwardBrain(const Brain *g, const Brain *x, const Brain *w, const float *s, Brain *dx, float *dw, int64_t rows, int64_t width) {
    normBackward(g, x, w, s, dx, dw, rows, width);
}

struct RMSNorm : torch::autograd::Function<RMSNorm> {
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &input, const at::Tensor &weight, double epsilon) {
        const auto x = input.contiguous(), w = weight.contiguous();
        const int64_t width = x.size(-1), rows = width == 0 ? 0 : x.numel() / width;
        auto y = at::empty(x.sizes(), x.options());
        auto scale = at::empty({rows}, x.options().dtype(at::kFloat));
        auto *scales = scale.mutable_data_ptr<float>();
        const bool narrow = x.scalar_type() == at::kBFloat16;
        const void *xs = x.const_data_ptr(), *ws = w.const_data_ptr();
        void *ys = y.mutable_data_ptr();
        parallelFor(0, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
            const int64_t at = begin * width;
            if (narrow) {
                normForwardBrain(static_cast<const Brain *>(xs) + at, static_cast<const Brain *>(ws), static_cast<Brain *>(ys) + at, scales + begin, end - begin, width, static_cast<float>(epsilon));
            } else {
                normForwardFloat(static_cast<const float *>(xs) + at, static_cast<const float *>(ws), static_cast<float *>(ys) + at, scales + begin, end - begin, width, static_cast<float>(epsilon));
            }
        });
        context->save_for_backward({x, w, scale});
        return y;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const auto &x = saved[0], &w = saved[1], &scale = saved[2];
        const auto gradient = gradients[0].contiguous();
        const int64_t width = x.size(-1), rows = width == 0 ? 0 : x.numel() / width;
        // As many parts as threads, each with its own sum for the weight: the same bits in every run with as many threads.
        const int64_t parts = std::clamp<int64_t>(rows * width / 16384, 1, at::get_num_threads());
        auto dx = at::empty(x.sizes(), x.options());
        auto sums = at::zeros({parts, width}, scale.options());
        const bool narrow = x.scalar_type() == at::kBFloat16;
        const void *gs = gradient.const_data_ptr(), *xs = x.const_data_ptr(), *ws = w.const_data_ptr();
        const auto *scales = elements<float>(scale);
        void *dxs = dx.mutable_data_ptr();
        auto *dws = sums.mutable_data_ptr<float>();
        parallelFor(0, parts, 1, [&](int64_t first, int64_t last) {
            for (int64_t part = first; part < last; ++part) {
                const int64_t begin = rows * part / parts, end = rows * (part + 1) / parts, at = begin * width;
                if (narrow) {
                    normBackwardBrain(static_cast<const Brain *>(gs) + at, static_cast<const Brain *>(xs) + at, static_cast<const Brain *>(ws), scales + begin, static_cast<Brain *>(dxs) + at, dws + part * width, end - begin, width);
                } else {
                    normBackwardFloat(static_cast<const float *>(gs) + at, static_cast<const float *>(xs) + at, static_cast<const float *>(ws), scales + begin, static_cast<float *>(dxs) + at, dws + part * width, end - begin, width);
                }
            }
        });
        return {dx, sums.sum(0).to(w.scalar_type()), at::Tensor()};
    }
};

// MARK: Rotary embedding

/// Rotates the first `rotated` heads of each token and copies the others; `sign` -1 turns back.
template <class T>
CT_INLINE void rotateTokens(const T *x, int64_t stride, const T *cosines, const T *sines, T *y, int64_t tokens, int64_t heads, int64_t rotated, int64_t width, float sign) {
    const int64_t half = width / 2;
    for (int64_t token = 0; token < tokens; ++token, x += stride, y += heads * width, cosines += width, sines += width) {
        for (int64_t head = 0; head < rotated; ++head) {
            const T *from = x + head * width;
            T *to = y + head * width;
            for (int64_t i = 0; i < half; ++i) {
                const float a = wide(from[i]), b = wide(from[i + half]);
                store(to[i], a * wide(cosines[i]) + sign * b * wide(sines[i]));
                store(to[i + half], b * wide(cosines[i + half]) + sign * a * wide(sines[i + half]));
            }
        }
        for (int64_t i = rotated * width; i < heads * width; ++i) y[i] = x[i];
    }
}

CT_VECTORIZED void rotateFloat(const float *x, int64_t stride, const float *c, const float *s, float *y, int64_t tokens, int64_t heads, int64_t rotated, int64_t width, float sign) {
    rotateTokens(x, stride, c, s, y, tokens, heads, rotated, width, sign);
}
CT_VECTORIZED void rotateBrain(const Brain *x, int64_t stride, const Brain *c, const Brain *s, Brain *y, int64_t tokens, int64_t heads, int64_t rotated, int64_t width, float sign) {
    rotateTokens(x, stride, c, s, y, tokens, heads, rotated, width, sign);
}

at::Tensor rotatedOnCPU(const at::Tensor &input, const at::Tensor &cosines, const at::Tensor &sines, int64_t rotated, float sign) {
    const int64_t tokens = input.size(0), heads = input.size(1), width = input.size(2);
    const bool dense = input.stride(2) == 1 && input.stride(1) == width;
    const auto x = dense ? input : input.contiguous();
    const auto c = cosines.contiguous(), s = sines.contiguous();
    auto y = at::empty({tokens, heads, width}, x.options());
    const int64_t stride = x.stride(0);
    const bool narrow = x.scalar_type() == at::kBFloat16;
    const void *xs = x.const_data_ptr(), *cs = c.const_data_ptr(), *ss = s.const_data_ptr();
    void *ys = y.mutable_data_ptr();
    parallelFor(0, tokens, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, heads * width)), [&](int64_t begin, int64_t end) {
        const int64_t angle = begin * width, to = begin * heads * width;
        if (narrow) {
            rotateBrain(static_cast<const Brain *>(xs) + begin * stride, stride, static_cast<const Brain *>(cs) + angle, static_cast<const Brain *>(ss) + angle, static_cast<Brain *>(ys) + to, end - begin, heads, rotated, width, sign);
        } else {
            rotateFloat(static_cast<const float *>(xs) + begin * stride, stride, static_cast<const float *>(cs) + angle, static_cast<const float *>(ss) + angle, static_cast<float *>(ys) + to, end - begin, heads, rotated, width, sign);
        }
    });
    return y;
}

struct Rotation : torch::autograd::Function<Rotation> {
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x, const at::Tensor &cosines, const at::Tensor &sines, int64_t rotated) {
        context->save_for_backward({cosines, sines});
        context->saved_data["rotated"] = rotated;
        return rotatedOnCPU(x, cosines, sines, rotated, 1);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const auto dx = rotatedOnCPU(gradients[0], saved[0], saved[1], context->saved_data["rotated"].toInt(), -1);
        return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

// MARK: Exponential

// Functions with vectors are inlined into the bodies, whatever these are compiled for: none is called.
#pragma clang diagnostic ignored "-Wpsabi"

/// Sixteen numbers, worked on at once.
using Floats = float __attribute__((ext_vector_type(16)));
using Words = uint32_t __attribute__((ext_vector_type(16)));
using Halves = uint16_t __attribute__((ext_vector_type(16)));

/// e to the x within two units of the last place of a float32, of one number or of sixteen, in operations that become vector
/// instructions.
template <class F, class U>
CT_INLINE F exponential(F x) {
    // Adding 1.5 * 2^23 leaves the nearest integer in the last bits.
    const F magic = 12582912.0F, top = 88.0F, none = 0.0F;
    const F bounded = x > top ? top : x;
    const F shifted = bounded * 1.44269504F + magic;
    const F whole = shifted - magic;
    const F rest = (bounded - whole * 0.693359375F) + whole * 2.12194440e-4F;
    F y = 1.9875691500e-4F;
    y = y * rest + 1.3981999507e-3F;
    y = y * rest + 8.3334519073e-3F;
    y = y * rest + 4.1665795894e-2F;
    y = y * rest + 1.6666665459e-1F;
    y = y * rest + 5.0000001201e-1F;
    y = y * rest * rest + rest + 1.0F;
    const U power = (__builtin_bit_cast(U, shifted) - __builtin_bit_cast(U, magic) + 127U) << 23;
    return x < F(-87.0F) ? none : y * __builtin_bit_cast(F, power);
}

// MARK: Gated unit

/// `silu(gate) · up` of rows that lie `gateStride` and `upStride` apart.
template <class T>
CT_INLINE void gatedForward(const T *gate, int64_t gateStride, const T *up, int64_t upStride, T *y, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row, gate += gateStride, up += upStride, y += width) {
        for (int64_t i = 0; i < width; ++i) {
            const float g = wide(gate[i]);
            store(y[i], g / (1 + exponential<float, uint32_t>(-g)) * wide(up[i]));
        }
    }
}

template <class T>
CT_INLINE void gatedBackward(const T *gradient, const T *gate, int64_t gateStride, const T *up, int64_t upStride, T *dGate, T *dUp, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row, gradient += width, gate += gateStride, up += upStride, dGate += width, dUp += width) {
        for (int64_t i = 0; i < width; ++i) {
            const float g = wide(gate[i]), d = wide(gradient[i]);
            const float sigmoid = 1 / (1 + exponential<float, uint32_t>(-g));
            store(dGate[i], d * wide(up[i]) * sigmoid * (1 + g * (1 - sigmoid)));
            store(dUp[i], d * g * sigmoid);
        }
    }
}

CT_VECTORIZED void gatedForwardFloat(const float *g, int64_t gs, const float *u, int64_t us, float *y, int64_t rows, int64_t width) {
    gatedForward(g, gs, u, us, y, rows, width);
}
CT_VECTORIZED void gatedForwardBrain(const Brain *g, int64_t gs, const Brain *u, int64_t us, Brain *y, int64_t rows, int64_t width) {
    gatedForward(g, gs, u, us, y, rows, width);
}
CT_VECTORIZED void gatedBackwardFloat(const float *d, const float *g, int64_t gs, const float *u, int64_t us, float *dg, float *du, int64_t rows, int64_t width) {
    gatedBackward(d, g, gs, u, us, dg, du, rows, width);
}
CT_VECTORIZED void gatedBackwardBrain(const Brain *d, const Brain *g, int64_t gs, const Brain *u, int64_t us, Brain *dg, Brain *du, int64_t rows, int64_t width) {
    gatedBackward(d, g, gs, u, us, dg, du, rows, width);
}

/// Rows that are dense in themselves, at whatever distance.
at::Tensor withDenseRows(const at::Tensor &x) { return x.dim() == 2 && x.stride(1) == 1 ? x : x.contiguous(); }

struct GatedUnit : torch::autograd::Function<GatedUnit> {
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &gateRows, const at::Tensor &upRows) {
        const auto gate = withDenseRows(gateRows), up = withDenseRows(upRows);
        const int64_t rows = gate.size(0), width = gate.size(1), gs = gate.stride(0), us = up.stride(0);
        auto y = at::empty({rows, width}, gate.options());
        const bool narrow = gate.scalar_type() == at::kBFloat16;
        const void *g = gate.const_data_ptr(), *u = up.const_data_ptr();
        void *ys = y.mutable_data_ptr();
        parallelFor(0, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
            if (narrow) {
                gatedForwardBrain(static_cast<const Brain *>(g) + begin * gs, gs, static_cast<const Brain *>(u) + begin * us, us, static_cast<Brain *>(ys) + begin * width, end - begin, width);
            } else {
                gatedForwardFloat(static_cast<const float *>(g) + begin * gs, gs, static_cast<const float *>(u) + begin * us, us, static_cast<float *>(ys) + begin * width, end - begin, width);
            }
        });
        context->save_for_backward({gate, up});
        return y;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const auto &gate = saved[0], &up = saved[1];
        const auto gradient = gradients[0].contiguous();
        const int64_t rows = gate.size(0), width = gate.size(1), gs = gate.stride(0), us = up.stride(0);
        auto dGate = at::empty({rows, width}, gate.options()), dUp = at::empty({rows, width}, gate.options());
        const bool narrow = gate.scalar_type() == at::kBFloat16;
        const void *d = gradient.const_data_ptr(), *g = gate.const_data_ptr(), *u = up.const_data_ptr();
        void *dgs = dGate.mutable_data_ptr(), *dus = dUp.mutable_data_ptr();
        parallelFor(0, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
            const int64_t at = begin * width;
            if (narrow) {
                gatedBackwardBrain(static_cast<const Brain *>(d) + at, static_cast<const Brain *>(g) + begin * gs, gs, static_cast<const Brain *>(u) + begin * us, us, static_cast<Brain *>(dgs) + at, static_cast<Brain *>(dus) + at, end - begin, width);
            } else {
                gatedBackwardFloat(static_cast<const float *>(d) + at, static_cast<const float *>(g) + begin * gs, gs, static_cast<const float *>(u) + begin * us, us, static_cast<float *>(dgs) + at, static_cast<float *>(dus) + at, end - begin, width);
            }
        });
        return {dGate, dUp};
    }
};

// MARK: Attention's softmax

/// Which keys a query sees.
struct Visibility {
    /// Whether keys after the query are hidden.
    bool causal;
    /// How many keys a query sees at most, itself included; only with `causal`.
    int64_t window;
    /// The keys of each sequence; empty where all are seen. Only without `causal`.
    std::vector<int64_t> lengths;
    /// The matrices of each sequence.
    int64_t heads;

    /// The first key that a query of a matrix sees, and the one after the last.
    std::pair<int64_t, int64_t> range(int64_t matrix, int64_t query, int64_t keys) const {
        if (causal) return {std::max<int64_t>(0, query + 1 - window), query + 1};
        return {0, lengths.empty() ? keys : lengths[matrix / heads]};
    }
};

// Rows are short: in loops whose rest is done element by element most of a row would be rest.
constexpr int64_t lanes = 16;
constexpr Words places = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

CT_INLINE Floats block(const float *from) {
    Floats values;
    std::memcpy(&values, from, sizeof(values));
    return values;
}
CT_INLINE Floats block(const Brain *from) {
    Halves bits;
    std::memcpy(&bits, from, sizeof(bits));
    return __builtin_bit_cast(Floats, __builtin_convertvector(bits, Words) << 16);
}

CT_INLINE void storeBlock(float *to, Floats values) { std::memcpy(to, &values, sizeof(values)); }
CT_INLINE void storeBlock(Brain *to, Floats values) {
    const Words bits = __builtin_bit_cast(Words, values), quiet = 0x7fc0U;
    const Words rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const Halves narrow = __builtin_convertvector((bits & 0x7fffffffU) > Words(0x7f800000U) ? quiet : rounded, Halves);
    std::memcpy(to, &narrow, sizeof(narrow));
}

/// A block of the first `count` elements, then `filler`; `room` elements can be read.
template <class T>
CT_INLINE Floats load(const T *from, int64_t count, int64_t room, float filler) {
    const Floats none = filler;
    if (room >= lanes) return places < Words(static_cast<uint32_t>(std::min(count, lanes))) ? block(from) : none;
    Floats values = none;
    for (int64_t lane = 0; lane < std::min(count, lanes); ++lane) values[lane] = wide(from[lane]);
    return values;
}

/// Writes a block, or as much of it as there is room for.
template <class T>
CT_INLINE void unload(Floats values, int64_t room, T *to) {
    if (room >= lanes) return storeBlock(to, values);
    for (int64_t lane = 0; lane < room; ++lane) store(to[lane], values[lane]);
}

CT_INLINE float total(Floats values) {
    const auto eight = values.lo + values.hi;
    const auto four = eight.lo + eight.hi;
    const auto two = four.lo + four.hi;
    return two.x + two.y;
}
CT_INLINE float largestOf(Floats values) {
    const auto eight = values.lo > values.hi ? values.lo : values.hi;
    const auto four = eight.lo > eight.hi ? eight.lo : eight.hi;
    const auto two = four.lo > four.hi ? four.lo : four.hi;
    return two.x > two.y ? two.x : two.y;
}

/// Softmax of `scale` times the `count` scores of one query, and 0 after them as far as blocks reach into the `room` there is;
/// `row` has room for whole blocks.
template <class T>
CT_INLINE void softmaxForward(const T *scores, T *y, float *row, int64_t count, int64_t room, float scale) {
    Floats largest = -INFINITY, sums = 0.0F;
    for (int64_t i = 0; i < count; i += lanes) {
        const Floats values = load(scores + i, count - i, room - i, -INFINITY) * scale;
        storeBlock(row + i, values);
        largest = values > largest ? values : largest;
    }
    const float maximum = largestOf(largest);
    for (int64_t i = 0; i < count; i += lanes) {
        const Floats values = exponential<Floats, Words>(block(row + i) - maximum);
        storeBlock(row + i, values);
        sums += values;
    }
    const float factor = 1 / total(sums);
    for (int64_t i = 0; i < count; i += lanes) unload(block(row + i) * factor, room - i, y + i);
}

template <class T>
CT_INLINE void softmaxBackward(const T *gradient, const T *y, T *dx, int64_t count, int64_t room, float scale) {
    Floats sums = 0.0F;
    for (int64_t i = 0; i < count; i += lanes) sums += load(gradient + i, count - i, room - i, 0) * load(y + i, count - i, room - i, 0);
    const float product = total(sums);
    for (int64_t i = 0; i < count; i += lanes) {
        const Floats values = load(y + i, count - i, room - i, 0) * (load(gradient + i, count - i, room - i, 0) - product) * scale;
        unload(values, room - i, dx + i);
    }
}

CT_VECTORIZED void softmaxForwardFloat(const float *x, float *y, float *row, int64_t count, int64_t room, float scale) { softmaxForward(x, y, row, count, room, scale); }
CT_VECTORIZED void softmaxForwardBrain(const Brain *x, Brain *y, float *row, int64_t count, int64_t room, float scale) { softmaxForward(x, y, row, count, room, scale); }
CT_VECTORIZED void softmaxBackwardFloat(const float *g, const float *y, float *dx, int64_t count, int64_t room, float scale) { softmaxBackward(g, y, dx, count, room, scale); }
CT_VECTORIZED void softmaxBackwardBrain(const Brain *g, const Brain *y, Brain *dx, int64_t count, int64_t room, float scale) { softmaxBackward(g, y, dx, count, room, scale); }

struct AttentionSoftmax : torch::autograd::Function<AttentionSoftmax> {
    /// Calls `body` with the place of a row's first visible element, how many there are, and how many to the row's end; the others become 0.
    template <class T, class Body>
    static void rows(const at::Tensor &like, T *to, const Visibility &visibility, Body body) {
        const int64_t queries = like.size(1), keys = like.size(2);
        parallelFor(0, like.size(0) * queries, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, keys)), [&](int64_t begin, int64_t end) {
            std::vector<float> scratch(keys + lanes);
            for (int64_t row = begin; row < end; ++row) {
                const auto [first, last] = visibility.range(row / queries, row % queries, keys);
                T *own = to + row * keys;
                if (first > 0) std::memset(own, 0, first * sizeof(T));
                const int64_t written = std::min(keys, first + (last - first + lanes - 1) / lanes * lanes);
                if (written < keys) std::memset(own + written, 0, (keys - written) * sizeof(T));
                body(row * keys + first, last - first, keys - first, scratch.data());
            }
        });
    }

    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &input, double scale, const Visibility &visibility) {
        const auto x = input.contiguous();
        auto y = at::empty(x.sizes(), x.options());
        const auto factor = static_cast<float>(scale);
        if (x.scalar_type() == at::kBFloat16) {
            const auto *from = static_cast<const Brain *>(x.const_data_ptr());
            auto *to = static_cast<Brain *>(y.mutable_data_ptr());
            rows(x, to, visibility, [=](int64_t at, int64_t count, int64_t room, float *row) { softmaxForwardBrain(from + at, to + at, row, count, room, factor); });
        } else {
            const auto *from = static_cast<const float *>(x.const_data_ptr());
            auto *to = static_cast<float *>(y.mutable_data_ptr());
            rows(x, to, visibility, [=](int64_t at, int64_t count, int64_t room, float *row) { softmaxForwardFloat(from + at, to + at, row, count, room, factor); });
        }
        context->save_for_backward({y});
        context->saved_data["scale"] = scale;
        context->saved_data["causal"] = visibility.causal;
        context->saved_data["window"] = visibility.window;
        context->saved_data["lengths"] = visibility.lengths;
        context->saved_data["heads"] = visibility.heads;
        return y;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        auto &data = context->saved_data;
        const Visibility visibility{data["causal"].toBool(), data["window"].toInt(), data["lengths"].toIntVector(), data["heads"].toInt()};
        const auto factor = static_cast<float>(data["scale"].toDouble());
        const auto y = context->get_saved_variables()[0];
        const auto gradient = gradients[0].contiguous();
        auto dx = at::empty(y.sizes(), y.options());
        if (y.scalar_type() == at::kBFloat16) {
            const auto *from = static_cast<const Brain *>(gradient.const_data_ptr()), *weights = static_cast<const Brain *>(y.const_data_ptr());
            auto *to = static_cast<Brain *>(dx.mutable_data_ptr());
            rows(y, to, visibility, [=](int64_t at, int64_t count, int64_t room, float *) { softmaxBackwardBrain(from + at, weights + at, to + at, count, room, factor); });
        } else {
            const auto *from = static_cast<const float *>(gradient.const_data_ptr()), *weights = static_cast<const float *>(y.const_data_ptr());
            auto *to = static_cast<float *>(dx.mutable_data_ptr());
            rows(y, to, visibility, [=](int64_t at, int64_t count, int64_t room, float *) { softmaxBackwardFloat(from + at, weights + at, to + at, count, room, factor); });
        }
        return {dx, at::Tensor(), at::Tensor()};
    }
};

/// The same by LibTorch's operations, for other devices and types.
at::Tensor attentionSoftmax(const at::Tensor &scores, double scale, const Visibility &visibility) {
    const auto options = at::TensorOptions().dtype(at::kLong).device(scores.device());
    const auto keys = at::arange(scores.size(2), options).view({1, 1, -1}), queries = at::arange(scores.size(1), options).view({1, -1, 1});
    auto hidden = at::zeros({1, 1, scores.size(2)}, options.dtype(at::kBool));
    if (visibility.causal) {
        hidden = (keys > queries).logical_or(keys <= queries - visibility.window);
    } else if (!visibility.lengths.empty()) {
        hidden = keys >= at::tensor(visibility.lengths, options).repeat_interleave(visibility.heads).view({-1, 1, 1});
    }
    return at::softmax((scores * scale).masked_fill(hidden, -INFINITY), 2);
}

bool hasKernel(const at::Tensor &x) { return x.is_cpu() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat); }

}  // namespace

extern "C" {

int32_t ct_rms_norm(CTTensorRef a, CTTensorRef weight, intptr_t width, double epsilon, CTTensorOut out) {
    return guarded([&] {
        const int64_t shape = width;
        const auto &x = tensor(a);
        const auto w = optional(weight);
        if (hasKernel(x) && x.dim() > 0 && x.size(-1) == width && w && w->is_cpu() && w->scalar_type() == x.scalar_type() && w->numel() == width) {
            give(out, RMSNorm::apply(x, *w, epsilon));
            return;
        }
        give(out, at::rms_norm(x, at::IntArrayRef(&shape, 1), w, epsilon));
    });
}

int32_t ct_rotate(CTTensorRef a, CTTensorRef cosines, CTTensorRef sines, intptr_t rotated, CTTensorOut out) {
    return guarded([&] {
        const auto &x = tensor(a), &c = tensor(cosines), &s = tensor(sines);
        TORCH_CHECK(x.dim() == 3 && x.size(2) % 2 == 0 && rotated >= 0 && rotated <= x.size(1), "heads [tokens, heads, even width] are rotated, the first ", rotated, " of them");
        TORCH_CHECK(c.numel() == x.size(0) * x.size(2) && s.numel() == c.numel() && c.scalar_type() == x.scalar_type() && s.scalar_type() == x.scalar_type(),
                    "there is a cosine and a sine of the same type for each token and place in a head");
        if (hasKernel(x)) {
            give(out, Rotation::apply(x, c, s, rotated));
            return;
        }
        const auto shape = std::vector<int64_t>{x.size(0), 1, x.size(2)};
        const auto head = x.narrow(1, 0, rotated);
        const auto halves = head.chunk(2, 2);
        const auto turned = head * c.view(shape) + at::cat({halves[1], halves[0]}, 2) * s.view(shape);
        give(out, rotated == x.size(1) ? turned : at::cat({turned, x.narrow(1, rotated, x.size(1) - rotated)}, 1));
    });
}

int32_t ct_gated_unit(CTTensorRef gate, CTTensorRef up, CTTensorOut out) {
    return guarded([&] {
        const auto &g = tensor(gate), &u = tensor(up);
        TORCH_CHECK(g.sizes() == u.sizes() && g.scalar_type() == u.scalar_type(), "gate and up are alike, got ", g.sizes(), " and ", u.sizes());
        if (hasKernel(g) && u.is_cpu() && g.dim() == 2) {
            give(out, GatedUnit::apply(g, u));
            return;
        }
        give(out, at::silu(g) * u);
    });
}

int32_t ct_attention_softmax(CTTensorRef scores, double scale, bool causal, intptr_t window, const intptr_t *lengths, int32_t length_count, CTTensorOut out) {
    return guarded([&] {
        const auto &x = tensor(scores);
        TORCH_CHECK(x.dim() == 3 && window > 0 && (!causal || x.size(1) == x.size(2)), "scores are [matrices, queries, keys], a causal matrix is square, a window holds a key; got ", x.sizes());
        Visibility visibility{causal, window, std::vector<int64_t>(lengths, lengths + length_count), 1};
        if (length_count > 0) {
            TORCH_CHECK(x.size(0) % length_count == 0, x.size(0), " matrices of ", length_count, " sequences");
            for (const auto length : visibility.lengths) TORCH_CHECK(length > 0 && length <= x.size(2), "a sequence of ", length, " keys of ", x.size(2));
            visibility.heads = x.size(0) / length_count;
        }
        give(out, hasKernel(x) ? AttentionSoftmax::apply(x, scale, visibility) : attentionSoftmax(x, scale, visibility));
    });
}

}  // extern "C"
