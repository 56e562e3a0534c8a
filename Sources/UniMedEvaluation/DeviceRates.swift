public import Torch

/// What a device can do at its best: products and memory, as measured on it.
public struct DeviceRates: Codable, Sendable, Equatable {
    /// The device.
    public var name: String
    /// Floating-point operations per second of a large matrix product; a product and its sum are two.
    public var operationsPerSecond: Double
    /// Bytes per second that are read or written.
    public var bytesPerSecond: Double

    /// Makes rates.
    public init(name: String, operationsPerSecond: Double, bytesPerSecond: Double) {
        self.name = name
        self.operationsPerSecond = operationsPerSecond
        self.bytesPerSecond = bytesPerSecond
    }

    /// Devices that were measured, products in bfloat16.
    public static let known = [
        DeviceRates(name: "h100", operationsPerSecond: 798e12, bytesPerSecond: 3.0e12)
    ]

    /// Reads the name of a known device, or `flops=798e12,bandwidth=3.0e12`.
    ///
    /// - Throws: ``EvaluationError/invalidOption(field:expected:got:)``.
    public init(parsing text: String) throws(EvaluationError) {
        if let device = Self.known.first(where: { $0.name == text }) {
            self = device
            return
        }
        let names = Self.known.map(\.name).joined(separator: ", ")
        let failure = EvaluationError.invalidOption(
            field: "device rates",
            expected: "one of \(names), or positive numbers as in flops=798e12,bandwidth=3.0e12",
            got: "'\(text)'"
        )
        var values: [Substring: Double] = [:]
        for entry in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = entry.split(separator: "=", omittingEmptySubsequences: false)
            guard pair.count == 2, values[pair[0]] == nil, let value = Double(pair[1]), value > 0, value.isFinite else {
                throw failure
            }
            values[pair[0]] = value
        }
        guard let flops = values["flops"], let bandwidth = values["bandwidth"], values.count == 2 else { throw failure }
        self.init(name: text, operationsPerSecond: flops, bytesPerSecond: bandwidth)
    }

    /// Measures a device: a large matrix product, and a copy that no cache holds.
    ///
    /// Each rate is the best of many repeats, after some that warm up.
    ///
    /// - Parameters:
    ///   - dtype: The type of the product.
    ///   - duration: The time for each of both, beside the warm-up.
    /// - Throws: `TorchError` when the device cannot be used or lacks the memory (0.5 GB on the CPU, 2 GB elsewhere).
    public static func measure(
        _ device: Device,
        dtype: DType,
        duration: Duration = .milliseconds(500)
    ) throws(TorchError) -> DeviceRates {
        try device.requireAvailable()
        return try withoutGradients { () throws(TorchError) -> DeviceRates in
            let (rows, width) = device.isCPU ? (1024, 2048) : (8192, 8192)
            let a = try Tensor.normal([rows, width], deviation: 0.02, device: device).to(dtype)
            let b = try Tensor.normal([width, width], deviation: 0.02, device: device).to(dtype)
            let product = try best(device, duration) { () throws(TorchError) in _ = try a.matmul(b) }
            let count = device.isCPU ? 64 << 20 : 256 << 20
            let source = try Tensor.zeros([count], device: device)
            let copy = try Tensor.zeros([count], device: device)
            let transfer = try best(device, duration) { () throws(TorchError) in try copy.copy(from: source) }
            return DeviceRates(
                name: "\(device), measured (\(dtype.rawValue))",
                operationsPerSecond: 2 * Double(rows) * Double(width) * Double(width) / product,
                bytesPerSecond: 2 * 4 * Double(count) / transfer
            )
        }
    }

    /// The shortest time of one call, in seconds.
    private static func best(
        _ device: Device,
        _ duration: Duration,
        _ body: () throws(TorchError) -> Void
    ) throws(TorchError) -> Double {
        // Accelerators are given several calls at once, so that the time of starting one is hidden.
        let calls = device.isCPU ? 1 : 8
        func time() throws(TorchError) -> Double {
            let start = ContinuousClock.now
            for _ in 0..<calls { try body() }
            try device.synchronize()
            return (ContinuousClock.now - start) / .seconds(1) / Double(calls)
        }
        for _ in 0..<2 { _ = try time() }
        let end = ContinuousClock.now + duration
        var best = try time()
        while ContinuousClock.now < end { best = min(best, try time()) }
        return best
    }
}
