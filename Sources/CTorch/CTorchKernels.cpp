// CPU kernels for what LibTorch composes of many passes over memory: root-mean-square norm, rotary embedding and the gated
// unit, forward and backward each in one pass. Other devices and types take LibTorch's own operations.
#include "Parallel.h"
#include "Support.h"
#include "Vectorized.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

using namespace ctorch;

namespace {

// MARK: Root-mean-square norm

template <class T>
CT_INLINE void normForward(const T *__restrict x, const T *__restrict weight, T *__restrict y, float *__restrict scale, int64_t rows, int64_t width, float epsilon) {
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
CT_INLINE void normBackward(const T *__restrict gradient, const T *__restrict x, const T *__restrict weight, const float *__restrict scale, T *__restrict dx, float *__restrict dWeight, int64_t rows, int64_t width) {
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
CT_INLINE void rotateTokens(const T *__restrict x, int64_t stride, const T *__restrict cosines, const T *__restrict sines, T *__restrict y, int64_t tokens, int64_t heads, int64_t rotated, int64_t width, float sign) {
    const int64_t half = width / 2, whole = half / lanes * lanes;
    for (int64_t token = 0; token < tokens; ++token, x += stride, y += heads * width, cosines += width, sines += width) {
        for (int64_t head = 0; head < rotated; ++head) {
            const T *from = x + head * width;
            T *to = y + head * width;
            // Halves of a head are short: left to the compiler, most of them would be what is left over.
            for (int64_t i = 0; i < whole; i += lanes) {
                const Floats a = block(from + i), b = block(from + i + half);
                storeBlock(to + i, a * block(cosines + i) + sign * b * block(sines + i));
                storeBlock(to + i + half, b * block(cosines + i + half) + sign * a * block(sines + i + half));
            }
            for (int64_t i = whole; i < half; ++i) {
                const float a = wide(from[i]), b = wide(from[i + half]);
                store(to[i], a * wide(cosines[i]) + sign * b * wide(sines[i]));
                store(to[i + half], b * wide(cosines[i + half]) + sign * a * wide(sines[i + half]));
            }
        }
        std::memcpy(y + rotated * width, x + rotated * width, (heads - rotated) * width * sizeof(T));
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

// MARK: Gated unit

/// `silu(gate) · up` of rows that hold gate and up side by side and lie `stride` apart.
template <class T>
CT_INLINE void gatedForward(const T *__restrict x, int64_t stride, T *__restrict y, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row, x += stride, y += width) {
        for (int64_t i = 0; i < width; ++i) {
            const float gate = wide(x[i]);
            store(y[i], gate / (1 + exponential<float, uint32_t>(-gate)) * wide(x[width + i]));
        }
    }
}

template <class T>
CT_INLINE void gatedBackward(const T *__restrict gradient, const T *__restrict x, int64_t stride, T *__restrict dx, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row, gradient += width, x += stride, dx += 2 * width) {
        for (int64_t i = 0; i < width; ++i) {
            const float gate = wide(x[i]), d = wide(gradient[i]);
            const float sigmoid = 1 / (1 + exponential<float, uint32_t>(-gate));
            store(dx[i], d * wide(x[width + i]) * sigmoid * (1 + gate * (1 - sigmoid)));
            store(dx[width + i], d * gate * sigmoid);
        }
    }
}

CT_VECTORIZED void gatedForwardFloat(const float *x, int64_t stride, float *y, int64_t rows, int64_t width) { gatedForward(x, stride, y, rows, width); }
CT_VECTORIZED void gatedForwardBrain(const Brain *x, int64_t stride, Brain *y, int64_t rows, int64_t width) { gatedForward(x, stride, y, rows, width); }
CT_VECTORIZED void gatedBackwardFloat(const float *g, const float *x, int64_t stride, float *dx, int64_t rows, int64_t width) { gatedBackward(g, x, stride, dx, rows, width); }
CT_VECTORIZED void gatedBackwardBrain(const Brain *g, const Brain *x, int64_t stride, Brain *dx, int64_t rows, int64_t width) { gatedBackward(g, x, stride, dx, rows, width); }

struct GatedUnit : torch::autograd::Function<GatedUnit> {
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &input) {
        const auto side = input.stride(1) == 1 ? input : input.contiguous();
        const int64_t rows = side.size(0), width = side.size(1) / 2, stride = side.stride(0);
        auto y = at::empty({rows, width}, side.options());
        const bool narrow = side.scalar_type() == at::kBFloat16;
        const void *x = side.const_data_ptr();
        void *ys = y.mutable_data_ptr();
        parallelFor(0, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
            if (narrow) {
                gatedForwardBrain(static_cast<const Brain *>(x) + begin * stride, stride, static_cast<Brain *>(ys) + begin * width, end - begin, width);
            } else {
                gatedForwardFloat(static_cast<const float *>(x) + begin * stride, stride, static_cast<float *>(ys) + begin * width, end - begin, width);
            }
        });
        context->save_for_backward({side});
        return y;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        const auto side = context->get_saved_variables()[0];
        const auto gradient = gradients[0].contiguous();
        const int64_t rows = side.size(0), width = side.size(1) / 2, stride = side.stride(0);
        auto dx = at::empty({rows, 2 * width}, side.options());
        const bool narrow = side.scalar_type() == at::kBFloat16;
        const void *d = gradient.const_data_ptr(), *x = side.const_data_ptr();
        void *to = dx.mutable_data_ptr();
        parallelFor(0, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
            if (narrow) {
                gatedBackwardBrain(static_cast<const Brain *>(d) + begin * width, static_cast<const Brain *>(x) + begin * stride, stride, static_cast<Brain *>(to) + 2 * begin * width, end - begin, width);
            } else {
                gatedBackwardFloat(static_cast<const float *>(d) + begin * width, static_cast<const float *>(x) + begin * stride, stride, static_cast<float *>(to) + 2 * begin * width, end - begin, width);
            }
        });
        return {dx};
    }
};

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

int32_t ct_gated_unit(CTTensorRef a, CTTensorOut out) {
    return guarded([&] {
        const auto &x = tensor(a);
        TORCH_CHECK(x.dim() > 0 && x.size(-1) % 2 == 0, "gate and up lie side by side, got ", x.sizes());
        if (hasKernel(x) && x.dim() == 2) {
            give(out, GatedUnit::apply(x));
            return;
        }
        const auto parts = x.chunk(2, -1);
        give(out, at::silu(parts[0]) * parts[1]);
    });
}

}  // extern "C"
