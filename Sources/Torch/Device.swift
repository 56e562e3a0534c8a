private import CTorch

/// Where a tensor lives.
public enum Device: Sendable, Hashable, CustomStringConvertible {
    case cpu
    case cuda(Int)
    /// Shapes without memory: for describing a model of any size.
    case meta

    /// Reads `cpu`, `cuda` or `cuda:1`; `nil` for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        switch (parts.first, parts.count) {
        case ("cpu", 1): self = .cpu
        case ("meta", 1): self = .meta
        case ("cuda", 1): self = .cuda(0)
        case ("cuda", 2):
            guard let index = Int(parts[1]), index >= 0 else { return nil }
            self = .cuda(index)
        default: return nil
        }
    }

    /// The name as LibTorch writes it.
    public var description: String {
        switch self {
        case .cpu: "cpu"
        case .cuda(let index): "cuda:\(index)"
        case .meta: "meta"
        }
    }

    /// Whether this is the CPU.
    public var isCPU: Bool { self == .cpu }

    var code: (kind: Int32, index: Int32) {
        switch self {
        case .cpu: (Int32(CT_CPU), 0)
        case .cuda(let index): (Int32(CT_CUDA), Int32(index))
        case .meta: (Int32(CT_META), 0)
        }
    }

    /// Throws when the device cannot be used, with the reason.
    ///
    /// - Throws: ``TorchError`` when LibTorch was built without CUDA, no such card is there or its driver is missing.
    public func requireAvailable() throws(TorchError) {
        guard case .cuda(let index) = self else { return }
        guard ct_cuda_available() else {
            throw TorchError(
                operation: "device",
                message:
                    "\(self) asked for, but the LibTorch in use (\(Runtime.version)) finds no CUDA; use device cpu, or a CUDA build through TORCH_HOME"
            )
        }
        guard index < Int(ct_cuda_count()) else {
            throw TorchError(
                operation: "device",
                message: "\(self) asked for, but there are \(ct_cuda_count()) CUDA devices"
            )
        }
    }

    /// Waits until all work queued on the device is done; nothing to wait for on the CPU.
    public func synchronize() throws(TorchError) {
        try Runtime.check("synchronize", ct_synchronize(code.kind, code.index))
    }

    /// The accelerator's memory figures in bytes: in use by tensors and the highest so far, reserved from the driver and
    /// the highest so far.
    ///
    /// - Throws: ``TorchError`` on the CPU, whose memory LibTorch does not count.
    public func memory() throws(TorchError) -> (current: Int, peak: Int, reserved: Int, peakReserved: Int) {
        var current: Int64 = 0
        var peak: Int64 = 0
        var reserved: Int64 = 0
        var peakReserved: Int64 = 0
        try Runtime.check(
            "memory",
            ct_device_memory(code.kind, code.index, &current, &peak, &reserved, &peakReserved)
        )
        return (Int(current), Int(peak), Int(reserved), Int(peakReserved))
    }

    /// Lets the highest figures of ``memory()`` start anew from the present ones.
    ///
    /// - Throws: ``TorchError`` on the CPU, whose memory LibTorch does not count.
    public func resetPeakMemory() throws(TorchError) {
        try Runtime.check("resetPeakMemory", ct_reset_peak_memory(code.kind, code.index))
    }
}

/// Settings of the LibTorch in use that concern the whole process.
public enum Runtime {
    /// The version of the LibTorch in use, for example `2.13.0`.
    public static var version: String { String(cString: ct_version()) }

    /// Whether a CUDA device can be used.
    public static var hasCUDA: Bool { ct_cuda_available() }

    /// The number of CPU threads one operation may use.
    public static var threadCount: Int { Int(ct_thread_count()) }

    /// Sets the number of CPU threads one operation may use.
    ///
    /// - Throws: ``TorchError`` unless the count is positive.
    public static func setThreadCount(_ count: Int) throws(TorchError) {
        try check("setThreadCount", ct_set_thread_count(Int32(clamping: count)))
    }

    /// Whether float32 products and convolutions on CUDA may use TensorFloat-32: faster, with 10 bits of mantissa.
    ///
    /// LibTorch's default, which also answers here before the first change, is off for products.
    public static var allowsTF32: Bool { ct_tf32() }

    /// Allows TensorFloat-32 for float32 products and convolutions on CUDA, or forbids it for both.
    public static func setAllowsTF32(_ allowed: Bool) { ct_set_tf32(allowed) }

    /// Seeds the default generators of all devices: initial weights and dropout follow from it.
    public static func seed(_ seed: UInt64) throws(TorchError) {
        try check("seed", ct_manual_seed(seed))
    }

    /// Gives memory that is cached but not in use back to the accelerator's driver.
    public static func emptyCache() throws(TorchError) {
        try check("emptyCache", ct_empty_cache())
    }

    /// Turns a status into a thrown error that carries LibTorch's message.
    @inline(__always)
    static func check(_ operation: StaticString, _ status: Int32) throws(TorchError) {
        if status != CT_OK { throw failure(operation, status, operands: []) }
    }

    @inline(never)
    static func failure(_ operation: StaticString, _ status: Int32, operands: [Tensor]) -> TorchError {
        let message = String(cString: ct_last_error())
        let kind: TorchError.Kind =
            switch Int(status) {
            case CT_OUT_OF_MEMORY: .outOfMemory
            case CT_UNKNOWN_ERROR: .unknown
            default: .invalidOperation
            }
        return TorchError(
            kind: kind,
            operation: "\(operation)",
            operands: operands.map(\.summary),
            message: message.split(separator: "\n").first.map(String.init) ?? message
        )
    }
}
