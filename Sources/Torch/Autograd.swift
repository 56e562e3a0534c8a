private import CTorch

/// Runs a closure without recording gradients on this thread.
public func withoutGradients<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    let before = ct_set_gradient_recording(false)
    defer { _ = ct_set_gradient_recording(before) }
    return try body()
}

/// Whether operations on this thread are recorded for gradients.
public var isRecordingGradients: Bool { ct_gradient_recording() }

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
        let count = Int32(parameters.count)
        let status = Tensor.withHandles(parameters) { p in
            Tensor.withHandles(gradients) { g in
                Tensor.withHandles(firstMoments) { m in
                    Tensor.withHandles(secondMoments) { v in
                        Tensor.withHandles(steps) { s in
                            ct_fused_adamw(p, g, m, v, s, count, learningRate, beta1, beta2, weightDecay, epsilon)
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
