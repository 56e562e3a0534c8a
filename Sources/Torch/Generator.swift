private import CTorch

/// A stream of random numbers on one device that can be saved and continued.
public final class Generator {
    fileprivate let handle: CTGeneratorRef?

    /// The CPU's default generator, which initial weights and dropout draw from.
    public static var standard: Generator { Generator(handle: nil) }

    private init(handle: CTGeneratorRef?) { self.handle = handle }

    /// Makes a generator with a stream of its own.
    public init(seed: UInt64, device: Device = .cpu) throws(TorchError) {
        var out: CTGeneratorRef?
        let status = ct_generator_create(seed, device.code.kind, device.code.index, &out)
        guard status == CT_OK, let out else { throw Runtime.failure("generator", status, operands: []) }
        handle = out
    }

    deinit { if let handle { ct_generator_release(handle) } }

    /// Starts the stream anew.
    public func seed(_ seed: UInt64) throws(TorchError) {
        try Runtime.check("seed", ct_generator_seed(handle, seed))
    }

    /// The stream's position (uint8): restoring it continues the stream bit for bit.
    public func state() throws(TorchError) -> Tensor {
        try Tensor.create("state") { ct_generator_state(handle, $0) }
    }

    /// Continues the stream from a position that ``state()`` gave.
    public func restore(_ state: Tensor) throws(TorchError) {
        let status = ct_generator_set_state(handle, state.handle)
        withExtendedLifetime(state) {}
        guard status == CT_OK else { throw Runtime.failure("restore", status, operands: [state]) }
    }
}

extension Tensor {
    /// Fills the tensor in place with normally distributed numbers.
    @discardableResult
    public func fillNormal(mean: Double = 0, deviation: Double = 1, generator: Generator? = nil) throws(TorchError)
        -> Tensor
    {
        let result = try mutate("fillNormal") { ct_normal_(handle, mean, deviation, generator?.handle) }
        withExtendedLifetime(generator) {}
        return result
    }

    /// Fills the tensor in place with numbers drawn evenly from a range.
    @discardableResult
    public func fillUniform(_ low: Double, _ high: Double, generator: Generator? = nil) throws(TorchError) -> Tensor {
        let result = try mutate("fillUniform") { ct_uniform_(handle, low, high, generator?.handle) }
        withExtendedLifetime(generator) {}
        return result
    }

    /// Positions drawn with replacement from rows of probabilities: `[rows, classes]` becomes `[rows, count]` (int64).
    public func multinomial(_ count: Int = 1, generator: Generator? = nil) throws(TorchError) -> Tensor {
        let result = try Tensor.make("multinomial", self) { ct_multinomial(handle, count, generator?.handle, $0) }
        withExtendedLifetime(generator) {}
        return result
    }
}
