#include "Parallel.h"
#include "Support.h"
#include "Vectorized.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

using namespace ctorch;

struct CTGenerator {
    at::Generator value;
};

namespace {

at::Generator generator(CTGeneratorRef handle) {
    return handle == nullptr ? at::globalContext().defaultGenerator(at::Device(at::kCPU)) : handle->value;
}

std::optional<at::Generator> optionalGenerator(CTGeneratorRef handle) {
    return handle == nullptr ? std::nullopt : std::optional<at::Generator>(handle->value);
}

/// Rows of `x` by index, zeros where the index is negative.
at::Tensor placed(const at::Tensor &x, const at::Tensor &index) {
    const auto source = x.contiguous();
    const int64_t rows = source.size(0), count = index.numel();
    auto shape = source.sizes().vec();
    shape[0] = count;
    if (!source.is_cpu()) {
        std::vector<int64_t> broadcast(source.dim(), 1);
        broadcast[0] = count;
        return source.index_select(0, index.clamp_min(0)).masked_fill_(index.lt(0).view(broadcast), 0);
    }
    auto result = at::empty(shape, source.options());
    const size_t bytes = rows == 0 ? 0 : source.nbytes() / rows;
    const auto *from = static_cast<const char *>(source.const_data_ptr());
    auto *to = static_cast<char *>(result.mutable_data_ptr());
    const auto *indices = elements<int64_t>(index);
    parallelFor(0, count, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, bytes)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            TORCH_CHECK(indices[i] < rows, "row ", indices[i], " of ", rows);
            if (indices[i] < 0) {
                std::memset(to + i * bytes, 0, bytes);
            } else {
                std::memcpy(to + i * bytes, from + indices[i] * bytes, bytes);
            }
        }
    });
    return result;
}

struct PlaceRows : torch::autograd::Function<PlaceRows> {
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x, const at::Tensor &index, const at::Tensor &inverse) {
        context->save_for_backward({index, inverse});
        return placed(x, index);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        return {PlaceRows::apply(gradients[0], saved[1], saved[0]), at::Tensor(), at::Tensor()};
    }
};

/// Consecutive groups of rows, each through a linear layer of its own.
///
/// Every group reads its weight where it lies and writes its gradient where it belongs: nothing is stacked or copied. Groups without
/// rows cost nothing forward, and have zeros as gradient.
struct GroupedLinear : torch::autograd::Function<GroupedLinear> {
    // Up to here the CPU is faster with the weight as left factor.
    static constexpr int64_t fewRows = 128;

    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, const int64_t *sizes) {
        const int64_t groups = weight.size(0);
        context->save_for_backward({x, weight});
        context->saved_data["sizes"] = std::vector<int64_t>(sizes, sizes + groups);
        auto result = at::empty({x.size(0), weight.size(1)}, x.options());
        for (int64_t group = 0, start = 0; group < groups; start += sizes[group++]) {
            if (sizes[group] == 0) continue;
            const auto rows = x.narrow(0, start, sizes[group]);
            auto part = result.narrow(0, start, sizes[group]);
            if (x.is_cpu() && sizes[group] <= fewRows) {
                at::add_out(part, at::mm(weight.select(0, group), rows.t()).t(), bias.select(0, group));
            } else {
                at::addmm_out(part, bias.select(0, group), rows, weight.select(0, group).t());
            }
        }
        return result;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const auto &x = saved[0], &weight = saved[1];
        const auto sizes = context->saved_data["sizes"].toIntVector();
        const auto gradient = gradients[0].contiguous();
        at::Tensor forRows, forWeight, forBias;
        if (context->needs_input_grad(0)) forRows = at::empty(x.sizes(), x.options());
        // In the weight's own layout, so that the way back to a stacked weight is a view.
        if (context->needs_input_grad(1)) forWeight = at::empty_strided(weight.sizes(), weight.strides(), weight.options());
        if (context->needs_input_grad(2)) forBias = at::empty({weight.size(0), weight.size(1)}, weight.options());
        int64_t start = 0;
        for (size_t group = 0; group < sizes.size(); start += sizes[group++]) {
            const auto index = static_cast<int64_t>(group);
            if (sizes[group] == 0) {
                if (forWeight.defined()) forWeight.select(0, index).zero_();
                if (forBias.defined()) forBias.select(0, index).zero_();
                continue;
            }
            const auto part = gradient.narrow(0, start, sizes[group]);
            if (forRows.defined()) {
                auto target = forRows.narrow(0, start, sizes[group]);
                at::mm_out(target, part, weight.select(0, index));
            }
            if (forWeight.defined()) {
                auto target = forWeight.select(0, index);
                at::mm_out(target, part.t(), x.narrow(0, start, sizes[group]));
            }
            if (forBias.defined()) {
                auto target = forBias.select(0, index);
                at::sum_out(target, part, at::IntArrayRef({0}));
            }
        }
        return {forRows, forWeight, forBias, at::Tensor()};
    }
};

/// Thirty-two well mixed bits of a position (the "lowbias32" hash).
CT_INLINE uint32_t mixed(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    return x ^ (x >> 16);
}

/// What decides which elements are dropped.
struct DropoutRule {
    /// Elements with fewer random bits are dropped.
    uint32_t threshold;
    /// Of the others.
    float scale;
    /// Of the seed.
    uint32_t low, high;
};

/// Drops of the elements from `first` on, whose upper half of the position is the same.
template <class T>
CT_INLINE void drop(const T *__restrict from, T *__restrict to, uint64_t first, int64_t count, DropoutRule rule) {
    const auto position = static_cast<uint32_t>(first);
    const uint32_t offset = rule.high + static_cast<uint32_t>(first >> 32) * 0x9e3779b9U;
    for (int64_t i = 0; i < count; ++i) {
        const uint32_t bits = mixed(((position + static_cast<uint32_t>(i)) ^ rule.low) + offset);
        store(to[i], bits < rule.threshold ? 0.0F : wide(from[i]) * rule.scale);
    }
}

CT_VECTORIZED void dropFloat(const float *from, float *to, uint64_t first, int64_t count, DropoutRule rule) { drop(from, to, first, count, rule); }
CT_VECTORIZED void dropBrain(const Brain *from, Brain *to, uint64_t first, int64_t count, DropoutRule rule) { drop(from, to, first, count, rule); }

/// Dropout whose mask is a function of a seed and the position: drawn by all threads at once, never kept in memory.
at::Tensor dropped(const at::Tensor &x, double probability, int64_t seed) {
    const auto source = x.contiguous();
    auto result = at::empty(source.sizes(), source.options());
    const DropoutRule rule{
        .threshold = static_cast<uint32_t>(probability * 4294967296.0),
        .scale = static_cast<float>(1 / (1 - probability)),
        .low = mixed(static_cast<uint32_t>(seed)),
        .high = static_cast<uint32_t>(seed >> 32),
    };
    const bool narrow = source.scalar_type() == at::kBFloat16;
    const void *from = source.const_data_ptr();
    void *to = result.mutable_data_ptr();
    parallelFor(0, source.numel(), 16384, [&](int64_t begin, int64_t end) {
        while (begin < end) {
            const int64_t count = std::min(end - begin, (int64_t(1) << 32) - (begin & 0xffffffff));
            if (narrow) {
                dropBrain(static_cast<const Brain *>(from) + begin, static_cast<Brain *>(to) + begin, begin, count, rule);
            } else {
                dropFloat(static_cast<const float *>(from) + begin, static_cast<float *>(to) + begin, begin, count, rule);
            }
            begin += count;
        }
    });
    return result;
}

struct Dropout : torch::autograd::Function<Dropout> {
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x, double probability, int64_t seed) {
        context->saved_data["probability"] = probability;
        context->saved_data["seed"] = seed;
        return dropped(x, probability, seed);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        const double probability = context->saved_data["probability"].toDouble();
        const int64_t seed = context->saved_data["seed"].toInt();
        return {Dropout::apply(gradients[0], probability, seed), at::Tensor(), at::Tensor()};
    }
};

/// The default generators' positions: the CPU's, and that of the accelerator the inputs are on.
struct RandomState {
    at::Device device;
    at::Tensor host;
    at::Tensor accelerator;

    static at::Tensor position(at::Generator generator) {
        const std::lock_guard<std::mutex> lock(generator.mutex());
        return generator.get_state();
    }

    static void move(at::Generator generator, const at::Tensor &position) {
        const std::lock_guard<std::mutex> lock(generator.mutex());
        generator.set_state(position);
    }

    explicit RandomState(at::Device device) : device(device), host(position(at::detail::getDefaultCPUGenerator())) {
        if (!device.is_cpu()) accelerator = position(at::globalContext().defaultGenerator(device));
    }

    void restore() const {
        move(at::detail::getDefaultCPUGenerator(), host);
        if (accelerator.defined()) move(at::globalContext().defaultGenerator(device), accelerator);
    }
};

/// Moves the default generators to a position for as long as it lives.
class RandomStateGuard {
  public:
    explicit RandomStateGuard(const RandomState &state) : before(state.device) { state.restore(); }
    RandomStateGuard(const RandomStateGuard &) = delete;
    RandomStateGuard &operator=(const RandomStateGuard &) = delete;
    ~RandomStateGuard() { before.restore(); }

  private:
    RandomState before;
};

/// A function of the caller that can be run again.
struct Computation : torch::CustomClassHolder {
    CTFunction function;
    std::shared_ptr<void> context;
    RandomState random;

    Computation(CTFunction function, std::shared_ptr<void> context, at::Device device)
        : function(function), context(std::move(context)), random(device) {}

    at::Tensor operator()(const std::vector<at::Tensor> &inputs) const {
        CTTensorRef output = nullptr;
        char message[1024] = "";
        const int32_t status = function(context.get(), reinterpret_cast<const CTTensorRef *>(inputs.data()),
                                        static_cast<int32_t>(inputs.size()), &output, message, sizeof(message));
        if (status == CT_OUT_OF_MEMORY) TORCH_CHECK_WITH(OutOfMemoryError, false, message);
        if (status != CT_OK || output == nullptr) throw std::runtime_error(message);
        return at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim(reinterpret_cast<c10::TensorImpl *>(output)));
    }
};

/// Runs a computation without recording it and keeps its inputs alone; the backward pass runs it again, recorded.
struct Checkpoint : torch::autograd::Function<Checkpoint> {
    /// The anchor requires a gradient, so that weights inside get theirs also where no input requires one.
    static at::Tensor forward(torch::autograd::AutogradContext *context, at::TensorList inputs, const at::Tensor &anchor, const c10::intrusive_ptr<Computation> &computation) {
        const auto own = inputs.vec();
        context->save_for_backward(own);
        context->saved_data["computation"] = c10::IValue::make_capsule(computation);
        return (*computation)(own);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const auto computation = c10::static_intrusive_pointer_cast<Computation>(context->saved_data["computation"].toCapsule());
        std::vector<at::Tensor> inputs;
        inputs.reserve(saved.size());
        for (const auto &x : saved) inputs.push_back(x.detach().set_requires_grad(x.requires_grad()));
        at::Tensor output;
        {
            const RandomStateGuard random(computation->random);
            const at::AutoGradMode recording(true);
            output = (*computation)(inputs);
        }
        if (output.requires_grad()) torch::autograd::backward({output}, {gradients[0]});
        torch::autograd::variable_list results;
        results.reserve(inputs.size() + 2);
        for (const auto &x : inputs) results.push_back(x.requires_grad() ? x.grad() : at::Tensor());
        results.resize(inputs.size() + 2);
        return results;
    }
};

/// What an update has besides its tensors.
struct AdamWSettings {
    double rate, beta1, beta2, decay, epsilon;
};

/// The numbers of one update of one parameter.
struct NarrowUpdate {
    float beta1, beta2, rest1, rest2, keep, size, scale, epsilon;
    uint32_t seed;
};

/// One update of `count` elements whose moments `m` and `v` are bfloat16, each rounded to one of its two neighbours at random so
/// that its mean is exact: the sixteen bits that are cut off, plus as many random ones, carry into the last bit that stays.
CT_VECTORIZED void narrowUpdate(float *__restrict p, const float *__restrict g, uint16_t *__restrict m, uint16_t *__restrict v,
                                uint32_t first, int64_t count, NarrowUpdate u) {
    for (int64_t i = 0; i < count; ++i) {
        const uint32_t noise = mixed((first + static_cast<uint32_t>(i)) ^ u.seed);
        const float slope = g[i];
        const float mean = u.beta1 * std::bit_cast<float>(static_cast<uint32_t>(m[i]) << 16) + u.rest1 * slope;
        const float square = u.beta2 * std::bit_cast<float>(static_cast<uint32_t>(v[i]) << 16) + u.rest2 * slope * slope;
        p[i] = u.keep * p[i] - u.size * mean / (__builtin_elementwise_sqrt(square) * u.scale + u.epsilon);
        m[i] = static_cast<uint16_t>((std::bit_cast<uint32_t>(mean) + (noise & 0xffffU)) >> 16);
        v[i] = static_cast<uint16_t>((std::bit_cast<uint32_t>(square) + (noise >> 16)) >> 16);
    }
}

/// One update of a contiguous float32 parameter on the CPU with moments in bfloat16, in one pass over memory.
void updateWithNarrowMoments(const at::Tensor &parameter, const at::Tensor &gradient, const at::Tensor &first, const at::Tensor &second,
                             double step, const AdamWSettings &settings, uint32_t seed) {
    const auto source = gradient.contiguous();
    auto *p = parameter.mutable_data_ptr<float>();
    const auto *g = elements<float>(source);
    auto *m = static_cast<uint16_t *>(first.mutable_data_ptr());
    auto *v = static_cast<uint16_t *>(second.mutable_data_ptr());
    const NarrowUpdate update{
        .beta1 = static_cast<float>(settings.beta1),
        .beta2 = static_cast<float>(settings.beta2),
        .rest1 = static_cast<float>(1 - settings.beta1),
        .rest2 = static_cast<float>(1 - settings.beta2),
        .keep = static_cast<float>(1 - settings.rate * settings.decay),
        .size = static_cast<float>(settings.rate / (1 - std::pow(settings.beta1, step))),
        .scale = static_cast<float>(1 / std::sqrt(1 - std::pow(settings.beta2, step))),
        .epsilon = static_cast<float>(settings.epsilon),
        .seed = seed,
    };
    parallelFor(0, source.numel(), 16384, [=](int64_t begin, int64_t end) {
        narrowUpdate(p + begin, g + begin, m + begin, v + begin, static_cast<uint32_t>(begin), end - begin, update);
    });
}

/// The same on any device: LibTorch's fused kernel on float32 copies of the moments, a group of bounded size at a time.
void updateByOperations(const std::vector<at::Tensor> &parameters, const std::vector<at::Tensor> &gradients, const std::vector<at::Tensor> &firsts,
                        const std::vector<at::Tensor> &seconds, const std::vector<at::Tensor> &steps, const AdamWSettings &settings) {
    constexpr int64_t room = int64_t(1) << 25;
    std::vector<at::Tensor> p, g, m, v, s;
    int64_t total = 0;
    const auto flush = [&] {
        if (total == 0) return;
        const auto moments = at::empty({2, total}, p.front().options().dtype(at::kFloat));
        std::vector<at::Tensor> wide[2];
        for (int row = 0; row < 2; ++row) {
            int64_t start = 0;
            for (const auto &piece : p) {
                wide[row].push_back(moments.select(0, row).narrow(0, start, piece.numel()));
                start += piece.numel();
            }
        }
        at::_foreach_copy_(wide[0], m);
        at::_foreach_copy_(wide[1], v);
        at::_fused_adamw_(p, g, wide[0], wide[1], {}, s, settings.rate, settings.beta1, settings.beta2, settings.decay, settings.epsilon, false, false);
        const auto bits = moments.view(at::kInt);
        bits.add_(at::empty_like(bits).random_(0, 65536)).bitwise_and_(-65536);
        at::_foreach_copy_(m, wide[0]);
        at::_foreach_copy_(v, wide[1]);
        for (auto *list : {&p, &g, &m, &v, &s}) list->clear();
        total = 0;
    };
    for (size_t i = 0; i < parameters.size(); ++i) {
        const int64_t count = parameters[i].numel();
        const auto gradient = gradients[i].contiguous();
        for (int64_t start = 0; start < count; start += room) {
            const int64_t length = std::min(room, count - start);
            if (total + length > room) flush();
            const auto piece = [&](const at::Tensor &x) { return x.detach().view(-1).narrow(0, start, length); };
            p.push_back(piece(parameters[i]));
            g.push_back(piece(gradient));
            m.push_back(piece(firsts[i]));
            v.push_back(piece(seconds[i]));
            s.push_back(steps[i]);
            total += length;
        }
    }
    flush();
}

/// The sum of squares.
CT_VECTORIZED float squares(const float *x, int64_t count) {
    float sum = 0;
    {
#pragma clang fp reassociate(on)
        for (int64_t i = 0; i < count; ++i) sum += x[i] * x[i];
    }
    return sum;
}

/// The sum of squares of contiguous float32 tensors on the CPU.
///
/// In parts whose sums are added in float64, in their order: of hundreds of millions of squares a float32 sum is off by a percent.
double squareSum(const std::vector<at::Tensor> &tensors) {
    constexpr int64_t longest = int64_t(1) << 16;
    std::vector<std::pair<const float *, int64_t>> parts;
    for (const auto &tensor : tensors) {
        const auto *x = elements<float>(tensor);
        for (int64_t start = 0; start < tensor.numel(); start += longest) parts.emplace_back(x + start, std::min(longest, tensor.numel() - start));
    }
    std::vector<double> sums(parts.size());
    parallelFor(0, static_cast<int64_t>(parts.size()), 4, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) sums[i] = squares(parts[i].first, parts[i].second);
    });
    double sum = 0;
    for (const double part : sums) sum += part;
    return sum;
}

}  // namespace

extern "C" {

int32_t ct_checkpoint(const CTTensorRef *inputs, int32_t input_count, CTFunction function, void (*release)(void *), void *context, CTTensorOut out) {
    return guarded([&] {
        const std::shared_ptr<void> owner(context, release);
        const auto own = list(inputs, input_count);
        auto device = at::Device(at::kCPU);
        for (const auto &x : own) {
            if (!x.is_cpu()) device = x.device();
        }
        const auto computation = c10::make_intrusive<Computation>(function, owner, device);
        const auto anchor = at::zeros({}).set_requires_grad(true);
        give(out, Checkpoint::apply(at::TensorList(own), anchor, computation));
    });
}

int32_t ct_dropout(CTTensorRef a, double probability, CTTensorOut out) {
    return guarded([&] {
        TORCH_CHECK(probability >= 0 && probability < 1, "the probability must be in 0..<1, got ", probability);
        const auto &x = tensor(a);
        if (!x.is_cpu() || (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16)) {
            give(out, at::dropout(x, probability, true));
            return;
        }
        auto generator = at::detail::getDefaultCPUGenerator();
        int64_t seed = 0;
        {
            const std::lock_guard<std::mutex> lock(generator.mutex());
            seed = static_cast<int64_t>(at::check_generator<at::CPUGeneratorImpl>(generator)->random64());
        }
        give(out, Dropout::apply(x, probability, seed));
    });
}

int32_t ct_place_rows(CTTensorRef a, CTTensorRef index, CTTensorRef inverse, CTTensorOut out) {
    return guarded([&] {
        TORCH_CHECK(tensor(a).dim() > 0 && tensor(index).dim() == 1 && tensor(index).is_contiguous() && tensor(index).scalar_type() == at::kLong,
                    "rows are placed by a contiguous int64 index");
        TORCH_CHECK(tensor(inverse).dim() == 1 && tensor(inverse).is_contiguous() && tensor(inverse).scalar_type() == at::kLong && tensor(inverse).numel() == tensor(a).size(0),
                    "the inverse has one int64 entry per row: ", tensor(a).size(0));
        give(out, PlaceRows::apply(tensor(a), tensor(index), tensor(inverse)));
    });
}

int32_t ct_grouped_linear(CTTensorRef a, CTTensorRef weight, CTTensorRef bias, const intptr_t *sizes, int32_t count, CTTensorOut out) {
    return guarded([&] {
        const auto &x = tensor(a), &w = tensor(weight), &b = tensor(bias);
        TORCH_CHECK(x.dim() == 2 && w.dim() == 3 && b.dim() == 2 && w.size(0) == count && w.size(2) == x.size(1) && b.size(0) == count && b.size(1) == w.size(1),
                    "rows ", x.sizes(), ", weights ", w.sizes(), " and biases ", b.sizes(), " of ", count, " groups do not fit");
        const auto groups = ints(sizes, count);
        int64_t rows = 0;
        for (const auto size : groups) {
            TORCH_CHECK(size >= 0, "a group has ", size, " rows");
            rows += size;
        }
        TORCH_CHECK(rows == x.size(0), "the groups have ", rows, " of ", x.size(0), " rows");
        give(out, GroupedLinear::apply(x, w, b, groups.data()));
    });
}

bool ct_set_gradient_recording(bool enabled) {
    const bool before = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(enabled);
    return before;
}

bool ct_gradient_recording(void) { return c10::GradMode::is_enabled(); }

int32_t ct_requires_grad_(CTTensorRef a, bool required) {
    return guarded([&] { tensor(a).requires_grad_(required); });
}

int32_t ct_backward(CTTensorRef a, CTTensorRef gradient, bool retain_graph) {
    return guarded([&] {
        const at::Tensor initial = gradient == nullptr ? at::Tensor() : tensor(gradient);
        torch::autograd::backward({tensor(a)}, gradient == nullptr ? torch::autograd::variable_list{} : torch::autograd::variable_list{initial}, retain_graph);
    });
}

int32_t ct_gradient(CTTensorRef a, CTTensorOut out) {
    return guarded([&] {
        const at::Tensor &gradient = tensor(a).grad();
        if (gradient.defined()) {
            give(out, gradient);
        } else {
            *out = nullptr;
        }
    });
}

int32_t ct_set_gradient(CTTensorRef a, CTTensorRef gradient) {
    return guarded([&] { tensor(a).mutable_grad() = gradient == nullptr ? at::Tensor() : tensor(gradient); });
}

int32_t ct_gradients(const CTTensorRef *outputs, int32_t output_count, const CTTensorRef *inputs, int32_t input_count, bool retain_graph, CTTensorOut out) {
    return guarded([&] {
        auto gradients = torch::autograd::grad(list(outputs, output_count), list(inputs, input_count), {}, retain_graph, false, true);
        for (int32_t i = 0; i < input_count; ++i) {
            out[i] = nullptr;
            if (gradients[i].defined()) give(out + i, gradients[i]);
        }
    });
}

int32_t ct_fused_adamw(const CTTensorRef *parameters, const CTTensorRef *gradients, const CTTensorRef *first_moments,
                       const CTTensorRef *second_moments, const CTTensorRef *steps, int32_t count, double rate, double beta1,
                       double beta2, double decay, double epsilon) {
    return guarded([&] {
        if (count == 0) return;
        const at::NoGradGuard guard;
        auto counters = list(steps, count);
        at::_foreach_add_(counters, 1);
        at::_fused_adamw_(list(parameters, count), list(gradients, count), list(first_moments, count), list(second_moments, count),
                          {}, counters, rate, beta1, beta2, decay, epsilon, false, false);
    });
}

int32_t ct_narrow_adamw(const CTTensorRef *parameters, const CTTensorRef *gradients, const CTTensorRef *first_moments,
                        const CTTensorRef *second_moments, const CTTensorRef *steps, int32_t count, double rate, double beta1,
                        double beta2, double decay, double epsilon, bool by_operations) {
    return guarded([&] {
        if (count == 0) return;
        const at::NoGradGuard guard;
        const AdamWSettings settings{rate, beta1, beta2, decay, epsilon};
        for (int32_t i = 0; i < count; ++i) {
            const auto &p = tensor(parameters[i]), &g = tensor(gradients[i]), &m = tensor(first_moments[i]), &v = tensor(second_moments[i]);
            TORCH_CHECK(p.scalar_type() == at::kFloat && g.scalar_type() == at::kFloat, "parameters and gradients must be float32");
            TORCH_CHECK(m.scalar_type() == at::kBFloat16 && v.scalar_type() == at::kBFloat16, "moments must be bfloat16");
            TORCH_CHECK(p.sizes() == g.sizes() && p.sizes() == m.sizes() && p.sizes() == v.sizes(), "parameter, gradient and moments must have one shape");
            TORCH_CHECK(p.is_contiguous() && m.is_contiguous() && v.is_contiguous(), "parameters and moments must be contiguous");
        }
        auto counters = list(steps, count);
        at::_foreach_add_(counters, 1);
        if (by_operations || !tensor(parameters[0]).is_cpu()) {
            updateByOperations(list(parameters, count), list(gradients, count), list(first_moments, count), list(second_moments, count), counters, settings);
            return;
        }
        auto generator = at::detail::getDefaultCPUGenerator();
        uint32_t seed = 0;
        {
            const std::lock_guard<std::mutex> lock(generator.mutex());
            seed = at::check_generator<at::CPUGeneratorImpl>(generator)->random();
        }
        for (int32_t i = 0; i < count; ++i) {
            updateWithNarrowMoments(tensor(parameters[i]), tensor(gradients[i]), tensor(first_moments[i]), tensor(second_moments[i]),
                                    counters[i].item<double>(), settings, mixed(seed + static_cast<uint32_t>(i)));
        }
    });
}

int32_t ct_total_norm(const CTTensorRef *tensors, int32_t count, CTTensorOut out) {
    return guarded([&] {
        const at::NoGradGuard guard;
        auto all = list(tensors, count);
        if (std::all_of(all.begin(), all.end(), [](const at::Tensor &x) { return x.is_cpu(); })) {
            for (auto &x : all) x = x.to(at::kFloat).contiguous();
            give(out, at::scalar_tensor(std::sqrt(squareSum(all)), at::kFloat));
            return;
        }
        give(out, at::linalg_vector_norm(at::stack(at::_foreach_norm(all, 2, at::kFloat))));
    });
}

int32_t ct_scale_all_(const CTTensorRef *tensors, int32_t count, CTTensorRef factor) {
    return guarded([&] {
        const at::NoGradGuard guard;
        const auto &scale = tensor(factor);
        // Where reading the factor waits for nothing, and there is nothing to do.
        if (scale.is_cpu() && scale.item<double>() == 1) return;
        at::_foreach_mul_(list(tensors, count), scale);
    });
}

int32_t ct_generator_create(uint64_t seed, int32_t device, int32_t index, CTGeneratorRef *out) {
    return guarded([&] {
        const auto kind = static_cast<c10::DeviceType>(device);
        const auto place = kind == at::kCPU ? at::Device(at::kCPU) : at::Device(kind, static_cast<c10::DeviceIndex>(index));
        auto created = std::make_unique<CTGenerator>(CTGenerator{at::globalContext().defaultGenerator(place).clone()});
        created->value.set_current_seed(seed);
        *out = created.release();
    });
}

void ct_generator_release(CTGeneratorRef generator) { delete generator; }

int32_t ct_generator_seed(CTGeneratorRef handle, uint64_t seed) {
    return guarded([&] { generator(handle).set_current_seed(seed); });
}

int32_t ct_generator_state(CTGeneratorRef handle, CTTensorOut out) {
    return guarded([&] { give(out, generator(handle).get_state()); });
}

int32_t ct_generator_set_state(CTGeneratorRef handle, CTTensorRef state) {
    return guarded([&] { generator(handle).set_state(tensor(state)); });
}

int32_t ct_manual_seed(uint64_t seed) {
    return guarded([&] { at::manual_seed(seed); });
}

int32_t ct_normal_(CTTensorRef a, double mean, double deviation, CTGeneratorRef handle) {
    return guarded([&] { tensor(a).normal_(mean, deviation, optionalGenerator(handle)); });
}

int32_t ct_uniform_(CTTensorRef a, double low, double high, CTGeneratorRef handle) {
    return guarded([&] { tensor(a).uniform_(low, high, optionalGenerator(handle)); });
}

int32_t ct_multinomial(CTTensorRef probabilities, intptr_t count, CTGeneratorRef handle, CTTensorOut out) {
    return guarded([&] { give(out, at::multinomial(tensor(probabilities), count, true, optionalGenerator(handle))); });
}

bool ct_cuda_available(void) { return at::globalContext().hasCUDA(); }

int32_t ct_cuda_count(void) { return at::globalContext().hasCUDA() ? static_cast<int32_t>(at::detail::getCUDAHooks().deviceCount()) : 0; }

int32_t ct_synchronize(int32_t device, int32_t index) {
    return guarded([&] {
        if (static_cast<c10::DeviceType>(device) != at::kCPU) at::accelerator::synchronizeDevice(static_cast<c10::DeviceIndex>(index));
    });
}

int32_t ct_device_memory(int32_t device, int32_t index, int64_t *current, int64_t *peak, int64_t *reserved, int64_t *peak_reserved) {
    return guarded([&] {
        TORCH_CHECK(static_cast<c10::DeviceType>(device) != at::kCPU, "memory figures are kept for accelerators only");
        const auto statistics = at::accelerator::getDeviceStats(static_cast<c10::DeviceIndex>(index));
        const auto &bytes = statistics.allocated_bytes[0];
        *current = bytes.current;
        *peak = bytes.peak;
        *reserved = statistics.reserved_bytes[0].current;
        *peak_reserved = statistics.reserved_bytes[0].peak;
    });
}

int32_t ct_reset_peak_memory(int32_t device, int32_t index) {
    return guarded([&] {
        TORCH_CHECK(static_cast<c10::DeviceType>(device) != at::kCPU, "memory figures are kept for accelerators only");
        at::accelerator::resetPeakStats(static_cast<c10::DeviceIndex>(index));
    });
}

void ct_set_tf32(bool allowed) {
    at::globalContext().setAllowTF32CuBLAS(allowed);
    at::globalContext().setAllowTF32CuDNN(allowed);
}

bool ct_tf32(void) { return at::globalContext().float32MatmulPrecision() != at::Float32MatmulPrecision::HIGHEST; }

int32_t ct_empty_cache(void) {
    return guarded([&] {
        if (at::globalContext().hasCUDA()) at::accelerator::emptyCache();
    });
}

int32_t ct_thread_count(void) { return at::get_num_threads(); }

int32_t ct_set_thread_count(int32_t count) {
    return guarded([&] {
        TORCH_CHECK(count > 0, "the thread count must be positive, got ", count);
        at::set_num_threads(count);
    });
}

}  // extern "C"
