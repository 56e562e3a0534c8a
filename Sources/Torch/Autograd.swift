private import CTorch

/// Runs a closure without recording gradients on this thread.
public func withoutGradients<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    let before = ct_set_gradient_recording(false)
    defer { _ = ct_set_gradient_recording(before) }
    return try body()
}

/// Whether operations on this thread are recorded for gradients.
public var isRecordingGradients: Bool { ct_gradient_recording() }

/// Runs a function without keeping what its backward pass needs; that pass runs the function again.
///
/// Gradient checkpointing (Chen et al. 2016): of all that the function computes only its inputs stay in memory, for the
/// price of a second forward pass. The second one draws from the default generators what the first one drew, so dropout
/// zeroes the same elements and the gradients are those of the plain call, bit for bit. Weights that the function uses
/// get their gradients as always. Calls may be nested. Where no gradients are recorded, this is the plain call.
///
/// - Parameters:
///   - inputs: Everything the function takes that was computed from something that requires a gradient. What the
///     function captures must be weights, or tensors without gradients.
///   - body: Called now, and again in each backward pass; on an accelerator that may be on another thread, while the one
///     that called ``Tensor/backward(gradient:retainingGraph:)`` waits. It must compute the same each time and is kept
///     until the result's record ends.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws. When it throws in the backward pass, that pass throws, with the same kind and with the
///   error's description as its message.
public func checkpointed(
    _ inputs: [Tensor],
    _ body: @escaping (_ inputs: [Tensor]) throws(TorchError) -> Tensor
) throws(TorchError) -> Tensor {
    guard isRecordingGradients else { return try body(inputs) }
    let recomputation = Recomputation(body)
    let context = Unmanaged.passRetained(recomputation).toOpaque()
    var out: CTTensorRef?
    let status = Tensor.withHandles(inputs) { handles in
        ct_checkpoint(
            handles,
            Int32(inputs.count),
            { context, handles, count, output, message, capacity in
                Unmanaged<Recomputation>.fromOpaque(context).takeUnretainedValue()
                    .run(UnsafeBufferPointer(start: handles, count: Int(count)), output, message, capacity)
            },
            { context in
                if let context { Unmanaged<Recomputation>.fromOpaque(context).release() }
            },
            context,
            &out
        )
    }
    guard status == CT_OK, let out else {
        throw recomputation.failure ?? Runtime.failure("checkpointed", status, operands: inputs)
    }
    return Tensor(owning: out)
}

/// Runs a function of one tensor without keeping what its backward pass needs; that pass runs the function again.
public func checkpointed(
    _ input: Tensor,
    _ body: @escaping (_ input: Tensor) throws(TorchError) -> Tensor
) throws(TorchError) -> Tensor {
    try checkpointed([input]) { inputs throws(TorchError) in try body(inputs[0]) }
}

/// A function that LibTorch calls back, and what it last threw.
private final class Recomputation {
    private let body: ([Tensor]) throws(TorchError) -> Tensor
    private(set) var failure: TorchError?

    init(_ body: @escaping ([Tensor]) throws(TorchError) -> Tensor) { self.body = body }

    /// Calls the function with borrowed handles; writes an owning handle, or a message.
    func run(
        _ handles: UnsafeBufferPointer<CTTensorRef>,
        _ output: UnsafeMutablePointer<CTTensorRef?>,
        _ message: UnsafeMutablePointer<CChar>,
        _ capacity: Int
    ) -> Int32 {
        do throws(TorchError) {
            let result = try body(handles.map { Tensor(owning: ct_tensor_retain($0)) })
            output.pointee = withExtendedLifetime(result) { ct_tensor_retain(result.handle) }
            return Int32(CT_OK)
        } catch {
            failure = error
            let text = error.description.utf8.prefix(capacity - 1)
            for (index, byte) in text.enumerated() { message[index] = CChar(bitPattern: byte) }
            message[text.count] = 0
            switch error.kind {
            case .outOfMemory: return Int32(CT_OUT_OF_MEMORY)
            case .invalidOperation, .unknown: return Int32(CT_ERROR)
            }
        }
    }
}

extension Tensor {
    /// Whether gradients with respect to this tensor are recorded.
    public var requiresGradient: Bool { ct_tensor_requires_grad(handle) }

    /// Sets whether gradients with respect to this tensor are recorded.
    @discardableResult
    public func requireGradient(_ required: Bool = true) throws(TorchError) -> Tensor {
        try mutate("requireGradient") { ct_requires_grad_(handle, required) }
    }

    /// Computes the gradients of this tensor and adds them to ``gradient`` of every leaf it depends on.
    ///
    /// - Parameters:
    ///   - gradient: The derivative with respect to this tensor; may be left out for a single element.
    ///   - retainingGraph: Whether the record is kept for another backward pass.
    public func backward(gradient: Tensor? = nil, retainingGraph: Bool = false) throws(TorchError) {
        try mutate("backward", gradient) { ct_backward(handle, gradient?.handle, retainingGraph) }
    }

    /// The gradient collected so far; `nil` when no backward pass has reached this tensor.
    public var gradient: Tensor? {
        var out: CTTensorRef?
        guard ct_gradient(handle, &out) == CT_OK, let out else { return nil }
        return Tensor(owning: out)
    }

    /// Replaces the collected gradient; `nil` forgets it.
    public func setGradient(_ gradient: Tensor?) throws(TorchError) {
        try mutate("setGradient", gradient) { ct_set_gradient(handle, gradient?.handle) }
    }

    /// The derivatives of the sum of `outputs` with respect to `inputs`, without touching their ``gradient``.
    ///
    /// - Returns: One tensor per input, `nil` where the outputs do not depend on it.
    public static func gradients(
        of outputs: [Tensor],
        withRespectTo inputs: [Tensor],
        retainingGraph: Bool = false
    ) throws(TorchError) -> [Tensor?] {
        var handles = [CTTensorRef?](repeating: nil, count: inputs.count)
        let status = withHandles(outputs) { outputHandles in
            withHandles(inputs) { inputHandles in
                ct_gradients(
                    outputHandles,
                    Int32(outputs.count),
                    inputHandles,
                    Int32(inputs.count),
                    retainingGraph,
                    &handles
                )
            }
        }
        guard status == CT_OK else { throw Runtime.failure("gradients", status, operands: outputs) }
        return handles.map { $0.map(Tensor.init(owning:)) }
    }
}

/// LibTorch's kernels over lists of tensors, for optimizers.
public enum OptimizerKernel {
    /// One AdamW update of every parameter in place, and of its moments; every count in `steps` is raised by one first.
    ///
    /// Moments are float32, or bfloat16 beside float32 parameters. Those in bfloat16 are rounded at random, up or down so
    /// that the mean is exact: with plain rounding a second moment with `beta2` 0.999, which changes by a thousandth,
    /// would stand still at eight bits. The update itself uses the moments before they are rounded. The default generator
    /// is drawn from, once on the CPU.
    ///
    /// - Parameters:
    ///   - steps: One float32 element per parameter: the updates it has had.
    ///   - weightDecay: Decoupled: the parameter is first multiplied by `1 - learningRate * weightDecay`.
    public static func adamW(
        parameters: [Tensor],
        gradients: [Tensor],
        firstMoments: [Tensor],
        secondMoments: [Tensor],
        steps: [Tensor],
        learningRate: Double,
        beta1: Double,
        beta2: Double,
        weightDecay: Double,
        epsilon: Double
    ) throws(TorchError) {
        try adamW(
            parameters: parameters,
            gradients: gradients,
            firstMoments: firstMoments,
            secondMoments: secondMoments,
            steps: steps,
            learningRate: learningRate,
            beta1: beta1,
            beta2: beta2,
            weightDecay: weightDecay,
            epsilon: epsilon,
            byOperations: false
        )
    }

    /// The same; narrow moments on the CPU are updated as on an accelerator where `byOperations` says so.
    package static func adamW(
        parameters: [Tensor],
        gradients: [Tensor],
        firstMoments: [Tensor],
        secondMoments: [Tensor],
        steps: [Tensor],
        learningRate: Double,
        beta1: Double,
        beta2: Double,
        weightDecay: Double,
        epsilon: Double,
        byOperations: Bool
    ) throws(TorchError) {
        let count = Int32(parameters.count)
        precondition(
            [gradients, firstMoments, secondMoments, steps].allSatisfy { $0.count == parameters.count },
            "every parameter has a gradient, two moments and a count of steps"
        )
        let isNarrow = firstMoments.first?.dtype == .bfloat16
        let status = Tensor.withHandles(parameters) { p in
            Tensor.withHandles(gradients) { g in
                Tensor.withHandles(firstMoments) { m in
                    Tensor.withHandles(secondMoments) { v in
                        Tensor.withHandles(steps) { s in
                            isNarrow
                                ? ct_narrow_adamw(
                                    p,
                                    g,
                                    m,
                                    v,
                                    s,
                                    count,
                                    learningRate,
                                    beta1,
                                    beta2,
                                    weightDecay,
                                    epsilon,
                                    byOperations
                                )
                                : ct_fused_adamw(p, g, m, v, s, count, learningRate, beta1, beta2, weightDecay, epsilon)
                        }
                    }
                }
            }
        }
        guard status == CT_OK else { throw Runtime.failure("adamW", status, operands: parameters) }
    }

    /// The Euclidean norm over all elements of all tensors (one float32 element).
    public static func totalNorm(_ tensors: [Tensor]) throws(TorchError) -> Tensor {
        guard !tensors.isEmpty else { return try Tensor.zeros([]) }
        var out: CTTensorRef?
        let status = Tensor.withHandles(tensors) { ct_total_norm($0, Int32(tensors.count), &out) }
        guard status == CT_OK, let out else { throw Runtime.failure("totalNorm", status, operands: tensors) }
        return Tensor(owning: out)
    }

    /// Multiplies every tensor in place by one factor (one element).
    public static func scale(_ tensors: [Tensor], by factor: Tensor) throws(TorchError) {
        guard !tensors.isEmpty else { return }
        let status = Tensor.withHandles(tensors) { ct_scale_all_($0, Int32(tensors.count), factor.handle) }
        withExtendedLifetime(factor) {}
        guard status == CT_OK else { throw Runtime.failure("scale", status, operands: tensors) }
    }
}
