// Attention of packed sequences to themselves on the CPU, forward and backward each in one pass over each sequence: nothing is
// padded, laid out anew or kept but two numbers for each query and head.
#include "Parallel.h"
#include "Support.h"
#include "Vectorized.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

using namespace ctorch;

namespace {

// Queries are taken in blocks of sixteen, one in each lane: what is done for a key is done for all of them at once, and a
// softmax over keys never crosses lanes. All is computed in float32.
//
// L keys, D width of a head, rounded up to lanes; rows that are rounded up end in zeros.

/// One sequence and one key head, with the query heads that share it.
struct Part {
    int64_t length;
    int64_t width;
    /// `width`, rounded up to lanes.
    int64_t padded;
    int64_t queryHeads;
    /// Between the tokens of queries, keys and values.
    int64_t stride;
    /// Between the tokens of the result.
    int64_t outputStride;
    /// Between the heads of what is kept of each query.
    int64_t keptStride;
    float scale;
    bool causal;
    int64_t window;

    /// The first key that one of the queries from `query` on sees, and the one after the last.
    int64_t first(int64_t query) const { return causal ? std::max<int64_t>(0, query + 1 - window) : 0; }
    int64_t last(int64_t query) const { return causal ? std::min(length, query + lanes) : length; }
};

/// What is kept of each query for the backward pass, which computes its weights again to the same bits: one logarithm instead
/// would have no room for small differences beside large scores.
struct Kept {
    /// The largest score.
    float *largest;
    /// One over the sum of the weights.
    float *factor;

    Kept from(int64_t query) const { return {largest + query, factor + query}; }
};

/// Room for what a thread works on.
class Workspace {
  public:
    Workspace(const Part &part, bool backward) {
        const int64_t rows = part.length * part.padded, block = lanes * part.padded, scores = part.length * lanes;
        const int64_t sizes[] = {rows, rows, block, block, scores, block, block, block, scores, rows, rows};
        int64_t total = 0;
        for (int i = 0; i < (backward ? 11 : 6); ++i) total += sizes[i];
        if (static_cast<int64_t>(room.size()) * lanes < total) room.resize((total + lanes - 1) / lanes);
        float *next = reinterpret_cast<float *>(room.data());
        float **const parts[] = {&keys, &values, &queries, &turnedQueries, &weights, &result, &gradients, &turnedGradients, &slopes, &keyGradients, &valueGradients};
        for (int i = 0; i < (backward ? 11 : 6); ++i) {
            *parts[i] = next;
            next += sizes[i];
        }
    }

    /// `[L, D]`.
    float *keys, *values;
    /// `[16, D]`, and the other way round.
    float *queries, *turnedQueries;
    /// `[L, 16]`.
    float *weights;
    /// `[16, D]`.
    float *result;
    /// `[16, D]`, and the other way round.
    float *gradients = nullptr, *turnedGradients = nullptr;
    /// The gradients of the scores, `[L, 16]`.
    float *slopes = nullptr;
    /// `[L, D]`.
    float *keyGradients = nullptr, *valueGradients = nullptr;

  private:
    static thread_local std::vector<Floats> room;
};

thread_local std::vector<Floats> Workspace::room;

/// Rows of a head in float32, then zeros up to `count` rows.
template <class T>
CT_INLINE void widen(const T *from, int64_t stride, int64_t rows, int64_t count, const Part &part, float *to) {
    for (int64_t row = 0; row < rows; ++row, from += stride, to += part.padded) {
        for (int64_t i = 0; i < part.width; ++i) to[i] = wide(from[i]);
        for (int64_t i = part.width; i < part.padded; ++i) to[i] = 0;
    }
    std::memset(to, 0, (count - rows) * part.padded * sizeof(float));
}

/// Rounds rows to a head's type, each times a factor of its own.
template <class T>
CT_INLINE void narrow(const float *from, int64_t rows, const Part &part, Floats factors, T *to, int64_t stride) {
    for (int64_t row = 0; row < rows; ++row, from += part.padded, to += stride) {
        const float factor = factors[row];
        for (int64_t i = 0; i < part.width; ++i) store(to[i], from[i] * factor);
    }
}

/// `[16, D]` becomes `[D, 16]`.
CT_INLINE void turn(const float *from, const Part &part, float *to) {
    for (int64_t column = 0; column < part.padded; column += lanes, to += lanes * lanes) {
        Floats r[lanes];
#pragma clang loop unroll(full)
        for (int i = 0; i < lanes; ++i) r[i] = block(from + i * part.padded + column);
#pragma clang loop unroll(full)
        for (int i = 0; i < 8; ++i) {
            const Floats a = r[i], b = r[i + 8];
            r[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
            r[i + 8] = __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
        }
#pragma clang loop unroll(full)
        for (int k = 0; k < 8; ++k) {
            const int i = k / 4 * 8 + k % 4;
            const Floats a = r[i], b = r[i + 4];
            r[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
            r[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
        }
#pragma clang loop unroll(full)
        for (int k = 0; k < 8; ++k) {
            const int i = k / 2 * 4 + k % 2;
            const Floats a = r[i], b = r[i + 2];
            r[i] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
            r[i + 2] = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i += 2) {
            const Floats a = r[i], b = r[i + 1];
            storeBlock(to + i * lanes, __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30));
            storeBlock(to + (i + 1) * lanes, __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31));
        }
    }
}

/// Products of `count` rows `[.., D]` with sixteen columns `[D, 16]`: `[.., 16]`.
template <int count>
CT_INLINE void rowProducts(const float *rows, const float *columns, const Part &part, float *to) {
    Floats sums[count];
#pragma clang loop unroll(full)
    for (int j = 0; j < count; ++j) sums[j] = 0.0F;
    for (int64_t d = 0; d < part.width; ++d) {
        const Floats column = block(columns + d * lanes);
#pragma clang loop unroll(full)
        for (int j = 0; j < count; ++j) sums[j] += rows[j * part.padded + d] * column;
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < count; ++j) storeBlock(to + j * lanes, sums[j]);
}

/// Products of the rows of keys `first..<last` with sixteen columns: rows of `[L, 16]`.
CT_INLINE void products(const float *rows, const float *columns, int64_t first, int64_t last, const Part &part, float *to) {
    int64_t key = first;
    for (; key + 8 <= last; key += 8) rowProducts<8>(rows + key * part.padded, columns, part, to + key * lanes);
    for (; key < last; ++key) rowProducts<1>(rows + key * part.padded, columns, part, to + key * lanes);
}

/// Some columns of the sums over keys of weights `[L, 16]` times rows `[L, D]`, for eight queries.
template <int blocks>
CT_INLINE void gatherColumns(const float *weights, const float *rows, int64_t first, int64_t last, const Part &part, float *to) {
    Floats sums[8][blocks];
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; ++j) {
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; ++b) sums[j][b] = 0.0F;
    }
    for (int64_t key = first; key < last; ++key) {
        Floats row[blocks];
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; ++b) row[b] = block(rows + key * part.padded + b * lanes);
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; ++j) {
            const float weight = weights[key * lanes + j];
#pragma clang loop unroll(full)
            for (int b = 0; b < blocks; ++b) sums[j][b] += weight * row[b];
        }
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; ++j) {
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; ++b) storeBlock(to + j * part.padded + b * lanes, sums[j][b]);
    }
}

/// Sums over keys of weights `[L, 16]` times rows `[L, D]`: `[16, D]`.
CT_INLINE void gather(const float *weights, const float *rows, int64_t first, int64_t last, const Part &part, float *to) {
    for (int64_t half = 0; half < lanes; half += 8) {
        int64_t column = 0;
        for (; column + 2 * lanes <= part.padded; column += 2 * lanes) {
            gatherColumns<2>(weights + half, rows + column, first, last, part, to + half * part.padded + column);
        }
        if (column < part.padded) gatherColumns<1>(weights + half, rows + column, first, last, part, to + half * part.padded + column);
    }
}

/// Some columns of what eight queries give to the sums of ``spread``.
template <int blocks>
CT_INLINE void spreadColumns(const float *weights, const float *rows, int64_t first, int64_t last, const Part &part, float *sums) {
    Floats row[8][blocks];
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; ++j) {
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; ++b) row[j][b] = block(rows + j * part.padded + b * lanes);
    }
    for (int64_t key = first; key < last; ++key) {
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; ++b) {
            float *to = sums + key * part.padded + b * lanes;
            Floats sum = block(to);
#pragma clang loop unroll(full)
            for (int j = 0; j < 8; ++j) sum += weights[key * lanes + j] * row[j][b];
            storeBlock(to, sum);
        }
    }
}

/// Adds sums over sixteen queries of weights `[L, 16]` times rows `[16, D]` to `[L, D]`.
CT_INLINE void spread(const float *weights, const float *rows, int64_t first, int64_t last, const Part &part, float *sums) {
    for (int64_t half = 0; half < lanes; half += 8) {
        int64_t column = 0;
        for (; column + 2 * lanes <= part.padded; column += 2 * lanes) {
            spreadColumns<2>(weights + half, rows + half * part.padded + column, first, last, part, sums + column);
        }
        if (column < part.padded) spreadColumns<1>(weights + half, rows + half * part.padded + column, first, last, part, sums + column);
    }
}

/// Whether all of the queries from `query` on see a key.
CT_INLINE bool isSeenByAll(int64_t key, int64_t query, const Part &part) {
    return !part.causal || (key <= query && key > query + lanes - 1 - part.window);
}

/// Values where the queries from `query` on see a key, something else where they do not.
CT_INLINE Floats whereSeen(int64_t key, int64_t query, const Part &part, Floats values, float otherwise) {
    const Floats other = otherwise;
    // A key after the query is a very large distance before it.
    const Words distance = places + static_cast<uint32_t>(query - key);
    return distance < Words(static_cast<uint32_t>(std::min<int64_t>(part.window, part.length))) ? values : other;
}

template <class T>
CT_INLINE void attend(const T *query, const T *key, const T *value, T *output, Kept kept, const Part &part, const Workspace &work) {
    widen(key, part.stride, part.length, part.length, part, work.keys);
    widen(value, part.stride, part.length, part.length, part, work.values);
    for (int64_t head = 0; head < part.queryHeads; ++head, query += part.width, output += part.width, kept = kept.from(part.keptStride)) {
        for (int64_t start = 0; start < part.length; start += lanes) {
            const int64_t count = std::min(lanes, part.length - start), first = part.first(start), last = part.last(start);
            widen(query + start * part.stride, part.stride, count, lanes, part, work.queries);
            turn(work.queries, part, work.turnedQueries);
            products(work.keys, work.turnedQueries, first, last, part, work.weights);
            Floats largest = -INFINITY, sums = 0.0F;
            for (int64_t k = first; k < last; ++k) {
                Floats scores = block(work.weights + k * lanes) * part.scale;
                if (!isSeenByAll(k, start, part)) scores = whereSeen(k, start, part, scores, -INFINITY);
                storeBlock(work.weights + k * lanes, scores);
                largest = scores > largest ? scores : largest;
            }
            for (int64_t k = first; k < last; ++k) {
                const Floats weights = exponential<Floats, Words>(block(work.weights + k * lanes) - largest);
                storeBlock(work.weights + k * lanes, weights);
                sums += weights;
            }
            gather(work.weights, work.values, first, last, part, work.result);
            const Floats factors = 1.0F / sums;
            narrow(work.result, count, part, factors, output + start * part.outputStride, part.outputStride);
            for (int64_t i = 0; i < count; ++i) {
                kept.largest[start + i] = largest[i];
                kept.factor[start + i] = factors[i];
            }
        }
    }
}

template <class T>
CT_INLINE void attendBackward(const T *gradient, const T *query, const T *key, const T *value, Kept kept, T *dQuery, T *dKey, T *dValue, const Part &part,
                              const Workspace &work) {
    const Floats ones = 1.0F;
    widen(key, part.stride, part.length, part.length, part, work.keys);
    widen(value, part.stride, part.length, part.length, part, work.values);
    std::memset(work.keyGradients, 0, part.length * part.padded * sizeof(float));
    std::memset(work.valueGradients, 0, part.length * part.padded * sizeof(float));
    for (int64_t head = 0; head < part.queryHeads; ++head, query += part.width, gradient += part.width, dQuery += part.width, kept = kept.from(part.keptStride)) {
        for (int64_t start = 0; start < part.length; start += lanes) {
            const int64_t count = std::min(lanes, part.length - start), first = part.first(start), last = part.last(start);
            widen(query + start * part.stride, part.stride, count, lanes, part, work.queries);
            widen(gradient + start * part.outputStride, part.outputStride, count, lanes, part, work.gradients);
            turn(work.queries, part, work.turnedQueries);
            turn(work.gradients, part, work.turnedGradients);
            products(work.keys, work.turnedQueries, first, last, part, work.weights);
            products(work.values, work.turnedGradients, first, last, part, work.slopes);
            Floats largest = 0.0F, factors = 0.0F, along = 0.0F;
            for (int64_t i = 0; i < count; ++i) {
                largest[i] = kept.largest[start + i];
                factors[i] = kept.factor[start + i];
            }
            const Floats none = 0.0F;
            for (int64_t k = first; k < last; ++k) {
                // A statement of its own: joined with the difference it would be rounded otherwise than in the forward pass.
                const Floats scores = block(work.weights + k * lanes) * part.scale;
                Floats weights = exponential<Floats, Words>(scores - largest) * factors;
                if (!isSeenByAll(k, start, part)) weights = whereSeen(k, start, part, weights, 0);
                // A query after the sequence's end is none.
                if (count < lanes) weights = places < Words(static_cast<uint32_t>(count)) ? weights : none;
                storeBlock(work.weights + k * lanes, weights);
                along += weights * block(work.slopes + k * lanes);
            }
            for (int64_t k = first; k < last; ++k) {
                storeBlock(work.slopes + k * lanes, block(work.weights + k * lanes) * (block(work.slopes + k * lanes) - along) * part.scale);
            }
            gather(work.slopes, work.keys, first, last, part, work.result);
            narrow(work.result, count, part, ones, dQuery + start * part.stride, part.stride);
            spread(work.weights, work.gradients, first, last, part, work.valueGradients);
            spread(work.slopes, work.queries, first, last, part, work.keyGradients);
        }
    }
    for (int64_t row = 0; row < part.length; ++row) {
        narrow(work.keyGradients + row * part.padded, 1, part, ones, dKey + row * part.stride, part.stride);
        narrow(work.valueGradients + row * part.padded, 1, part, ones, dValue + row * part.stride, part.stride);
    }
}

CT_VECTORIZED void attendFloat(const float *q, const float *k, const float *v, float *y, Kept kept, const Part &part, const Workspace &work) { attend(q, k, v, y, kept, part, work); }
CT_VECTORIZED void attendBrain(const Brain *q, const Brain *k, const Brain *v, Brain *y, Kept kept, const Part &part, const Workspace &work) { attend(q, k, v, y, kept, part, work); }
CT_VECTORIZED void attendBackwardFloat(const float *g, const float *q, const float *k, const float *v, Kept kept, float *dq, float *dk, float *dv, const Part &part, const Workspace &work) {
    attendBackward(g, q, k, v, kept, dq, dk, dv, part, work);
}
CT_VECTORIZED void attendBackwardBrain(const Brain *g, const Brain *q, const Brain *k, const Brain *v, Kept kept, Brain *dq, Brain *dk, Brain *dv, const Part &part, const Workspace &work) {
    attendBackward(g, q, k, v, kept, dq, dk, dv, part, work);
}

/// What attention is told besides its input.
struct Settings {
    std::vector<int64_t> lengths;
    int64_t heads;
    int64_t keyHeads;
    double scale;
    bool causal;
    int64_t window;

    int64_t tokens() const {
        int64_t sum = 0;
        for (const auto length : lengths) sum += length;
        return sum;
    }
};

struct SelfAttention : torch::autograd::Function<SelfAttention> {
    /// Calls `body` with every part, the place of its first token and its key head: on all threads, each with about the same work
    /// and with sequences that lie side by side.
    template <class Body>
    static void parts(const at::Tensor &fused, const Settings &settings, int64_t keptStride, Body body) {
        const auto &lengths = settings.lengths;
        const int64_t width = fused.size(2), threads = at::get_num_threads();
        double whole = 0;
        for (const auto length : lengths) whole += static_cast<double>(length) * static_cast<double>(length);
        const bool isSmall = whole * static_cast<double>(settings.heads * width) < 65536;
        parallelFor(0, isSmall ? 1 : threads, 1, [&](int64_t begin, int64_t end) {
            const double from = whole * static_cast<double>(begin), to = whole * static_cast<double>(end);
            const auto shares = static_cast<double>(isSmall ? 1 : threads);
            double before = 0;
            int64_t token = 0;
            for (const auto length : lengths) {
                const double own = static_cast<double>(length) * static_cast<double>(length) / static_cast<double>(settings.keyHeads);
                for (int64_t head = 0; head < settings.keyHeads; ++head) {
                    const double middle = (before + own / 2) * shares;
                    before += own;
                    if (middle < from || middle >= to) continue;
                    const Part part{
                        .length = length,
                        .width = width,
                        .padded = (width + lanes - 1) / lanes * lanes,
                        .queryHeads = settings.heads / settings.keyHeads,
                        .stride = fused.size(1) * width,
                        .outputStride = settings.heads * width,
                        .keptStride = keptStride,
                        .scale = static_cast<float>(settings.scale),
                        .causal = settings.causal,
                        .window = settings.window,
                    };
                    body(part, token, head);
                }
                token += length;
            }
        });
    }

    static Kept keptOf(const at::Tensor &kept) {
        auto *const numbers = static_cast<float *>(kept.mutable_data_ptr());
        return {numbers, numbers + kept.numel() / 2};
    }

    /// Where the first query, the key and the value of a part begin.
    struct Places {
        int64_t query, key, value;

        Places(const Part &part, int64_t token, int64_t head, const Settings &settings)
            : query(token * part.stride + head * part.queryHeads * part.width), key(token * part.stride + (settings.heads + head) * part.width),
              value(key + settings.keyHeads * part.width) {}
    };

    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &input, const Settings &settings) {
        const auto fused = input.contiguous();
        const int64_t tokens = fused.size(0), width = fused.size(2), own = settings.tokens();
        auto output = at::empty({tokens, settings.heads * width}, fused.options());
        if (own < tokens) output.narrow(0, own, tokens - own).zero_();
        const auto kept = at::empty({2, settings.heads, own}, fused.options().dtype(at::kFloat));
        const bool isNarrow = fused.scalar_type() == at::kBFloat16;
        const void *x = fused.const_data_ptr();
        void *y = output.mutable_data_ptr();
        parts(fused, settings, own, [&](const Part &part, int64_t token, int64_t head) {
            const Workspace work(part, false);
            const Places at(part, token, head, settings);
            const int64_t to = token * part.outputStride + head * part.queryHeads * width;
            const auto own = keptOf(kept).from(head * part.queryHeads * part.keptStride + token);
            if (isNarrow) {
                const auto *from = static_cast<const Brain *>(x);
                attendBrain(from + at.query, from + at.key, from + at.value, static_cast<Brain *>(y) + to, own, part, work);
            } else {
                const auto *from = static_cast<const float *>(x);
                attendFloat(from + at.query, from + at.key, from + at.value, static_cast<float *>(y) + to, own, part, work);
            }
        });
        context->save_for_backward({fused, kept});
        auto &data = context->saved_data;
        data["lengths"] = settings.lengths;
        data["heads"] = settings.heads;
        data["keyHeads"] = settings.keyHeads;
        data["scale"] = settings.scale;
        data["causal"] = settings.causal;
        data["window"] = settings.window;
        return output;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        auto &data = context->saved_data;
        const Settings settings{data["lengths"].toIntVector(), data["heads"].toInt(), data["keyHeads"].toInt(), data["scale"].toDouble(), data["causal"].toBool(), data["window"].toInt()};
        const auto saved = context->get_saved_variables();
        const auto &fused = saved[0], &kept = saved[1];
        const auto gradient = gradients[0].contiguous();
        const int64_t tokens = fused.size(0), width = fused.size(2), own = settings.tokens();
        auto result = at::empty(fused.sizes(), fused.options());
        if (own < tokens) result.narrow(0, own, tokens - own).zero_();
        const bool isNarrow = fused.scalar_type() == at::kBFloat16;
        const void *g = gradient.const_data_ptr(), *x = fused.const_data_ptr();
        void *dx = result.mutable_data_ptr();
        parts(fused, settings, own, [&](const Part &part, int64_t token, int64_t head) {
            const Workspace work(part, true);
            const Places at(part, token, head, settings);
            const int64_t above = token * part.outputStride + head * part.queryHeads * width;
            const auto own = keptOf(kept).from(head * part.queryHeads * part.keptStride + token);
            if (isNarrow) {
                const auto *from = static_cast<const Brain *>(x);
                auto *to = static_cast<Brain *>(dx);
                attendBackwardBrain(static_cast<const Brain *>(g) + above, from + at.query, from + at.key, from + at.value, own, to + at.query, to + at.key, to + at.value, part, work);
            } else {
                const auto *from = static_cast<const float *>(x);
                auto *to = static_cast<float *>(dx);
                attendBackwardFloat(static_cast<const float *>(g) + above, from + at.query, from + at.key, from + at.value, own, to + at.query, to + at.key, to + at.value, part, work);
            }
        });
        return {result, at::Tensor()};
    }
};

}  // namespace

extern "C" {

int32_t ct_self_attention(CTTensorRef fused, const intptr_t *lengths, int32_t length_count, intptr_t heads, intptr_t key_heads, double scale, bool causal, intptr_t window, CTTensorOut out) {
    return guarded([&] {
        const auto &x = tensor(fused);
        TORCH_CHECK(hasKernel(x), "this kernel takes float32 and bfloat16 on the CPU, got ", x.scalar_type(), " on ", x.device());
        TORCH_CHECK(heads > 0 && key_heads > 0 && heads % key_heads == 0 && x.dim() == 3 && x.size(1) == heads + 2 * key_heads && x.size(2) > 0,
                    heads, " query heads and ", key_heads, " key heads of [tokens, heads, width], got ", x.sizes());
        TORCH_CHECK(window > 0, "a query sees at least a key");
        const Settings settings{{lengths, lengths + length_count}, heads, key_heads, scale, causal, window};
        for (const auto length : settings.lengths) TORCH_CHECK(length > 0, "a sequence of ", length, " tokens");
        TORCH_CHECK(settings.tokens() <= x.size(0), "sequences of ", settings.tokens(), " tokens, of which there are ", x.size(0));
        give(out, SelfAttention::apply(x, settings));
    });
}

}  // extern "C"
