// CPU kernels for what LibTorch composes of many passes over memory: root-mean-square norm and rotary embedding, forward
// and backward each in one pass. Other devices and types take LibTorch's own operations.
#include "Support.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

using namespace ctorch;

// One body, compiled for several instruction sets and chosen when the program starts.
#if defined(__x86_64__) && defined(__linux__)
#define CT_VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CT_VECTORIZED
#endif
#define CT_INLINE static inline __attribute__((always_inline))

namespace {

/// A bfloat16 as it lies in memory.
struct Brain {
    uint16_t bits;
};

CT_INLINE float wide(float value) { return value; }
CT_INLINE float wide(Brain value) { return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16); }

CT_INLINE void store(float &to, float value) { to = value; }

/// Rounds to the nearest, ties to even, as LibTorch does; NaN stays NaN.
CT_INLINE void store(Brain &to, float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    to.bits = static_cast<uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? 0x7fc0U : rounded);
}

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
        at::parallel_for(0, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
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
        at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
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
    at::parallel_for(0, tokens, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, heads * width)), [&](int64_t begin, int64_t end) {
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

}  // extern "C"
