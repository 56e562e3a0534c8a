import Foundation
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel

/// What the connector costs at the paper's size, forward and backward: the soft router beside the published form in
/// PyTorch, and the sparse router beside our own dense form.
struct ConnectorBenchmark {
    let peer: PeerProcess?
    /// Where both sides compute.
    let device: Device
    /// The type of weights and activations.
    let dtype: DType
    /// The numbers of images that are measured.
    let imageCounts: [Int]
    let rounds: Int
    /// `Nv/α`, `Dv·α` and `Dt`: the paper's sizes.
    var tokenCount = 64
    var inputSize = 5632
    var outputSize = 4096

    private struct Spec: Encodable {
        let connector: ConnectorConfiguration
        let tasks: [Int]
    }
    private struct ConnectorRequest: Encodable {
        let command = "connector"
        let file: String
        let device: String
        let spec: Spec
    }
    private struct StepRequest: Encodable {
        let command = "connectorStep"
        let images: Int
    }
    private struct ResultRequest: Encodable {
        let command = "connectorResult"
        let images: Int
        let file: String
    }
    private struct EndRequest: Encodable { let command = "connectorEnd" }
    private struct Size: Decodable { let parameters: Int }
    private struct Timing: Decodable { let seconds: Double }
    private struct Result: Decodable { let gradientNorm: Double }

    /// The shared input: tokens, the gradient of the output, and a task for each image.
    private struct Input {
        let tokens: Tensor
        let direction: Tensor
        let tasks: [Int]

        /// The first images alone.
        func first(_ count: Int) throws -> Input {
            Input(
                tokens: try tokens.narrow(0, start: 0, length: count),
                direction: try direction.narrow(0, start: 0, length: count),
                tasks: Array(tasks.prefix(count))
            )
        }
    }

    /// What stands below the table.
    var notes: [String] {
        [
            "Connector: \(tokenCount) tokens an image, \(inputSize) to \(outputSize), \(dtype.rawValue) weights on \(device), router with "
                + "token and task inputs, gradients of all weights. Where a line is beside our dense form, that form, the "
                + "soft router with the same weights, stands in the column of Python."
        ]
    }

    /// Times all forms in turns; the first round warms up and is not counted.
    func run(_ progress: ProgressPrinter) throws -> [BenchmarkResult] {
        try Runtime.seed(1)
        let count = imageCounts.max() ?? 1
        let input = Input(
            tokens: try Tensor.normal([count, tokenCount, inputSize]).to(dtype).to(device),
            direction: try Tensor.normal([count, tokenCount, outputSize]).to(dtype).to(device),
            tasks: (0..<count).map { $0 % ConnectorConfiguration.publishedTasks.count }
        )
        return try soft(input, progress) + sparse(input, progress)
    }

    private func milliseconds(_ seconds: [Double]) -> [Double] { seconds.map { $0 * 1000 } }

    private func name(_ what: String, _ images: Int) -> String {
        "\(what), \(images) image\(images == 1 ? "" : "s"), \(dtype.rawValue)"
    }

    /// The paper's connector, ours and the published form.
    private func soft(_ input: Input, _ progress: ProgressPrinter) throws -> [BenchmarkResult] {
        let configuration = ConnectorConfiguration()
        let connector = try configuration.makeConnector(
            inputSize: inputSize,
            outputSize: outputSize,
            builder: WeightBuilder(dtype: dtype, device: device)
        )
        if let peer {
            try start(peer, connector, configuration, input)
            for images in imageCounts { try compare(peer, connector, input.first(images), images) }
        }
        let results = try imageCounts.map { images in
            let part = try input.first(images)
            var (ours, theirs): ([Double], [Double]) = ([], [])
            for round in 0...rounds {
                let own = try seconds(connector, part)
                let other = try peer.map { try $0.request(StepRequest(images: images), Timing.self).seconds }
                if round > 0 {
                    ours.append(own)
                    if let other { theirs.append(other) }
                }
                progress.show("soft connector, \(images) images", round, of: rounds, unit: "rounds")
            }
            progress.finish()
            return BenchmarkResult(
                name("connector, soft router, \(configuration.expertCount) experts", images),
                unit: "ms",
                ours: milliseconds(ours),
                peer: peer == nil ? nil : milliseconds(theirs),
                goal: .speed(atLeast: 1.7, as: "as fast as the published form in Python")
            )
        }
        _ = try peer?.request(EndRequest(), Size.self)
        return results
    }

    /// Sixteen experts, two of them for each token, beside all of them for each token.
    private func sparse(_ input: Input, _ progress: ProgressPrinter) throws -> [BenchmarkResult] {
        let (expertCount, topK) = (16, 2)
        let sparse = try ConnectorConfiguration(expertCount: expertCount, router: .sparse(topK: topK)).makeConnector(
            inputSize: inputSize,
            outputSize: outputSize,
            builder: WeightBuilder(dtype: dtype, device: device)
        )
        // The same weights for both, in the same memory.
        let dense = try ConnectorConfiguration(expertCount: expertCount, router: .soft()).makeConnector(
            inputSize: inputSize,
            outputSize: outputSize,
            builder: WeightBuilder(dtype: dtype, device: .meta)
        )
        for (own, other) in zip(dense.namedParameters(), sparse.namedParameters()) {
            guard own.name == other.name else { throw Failure.failed("\(own.name) is not \(other.name)") }
            try own.parameter.replace(other.parameter.value)
        }
        return try imageCounts.map { images in
            let part = try input.first(images)
            var times: (sparse: [Double], dense: [Double]) = ([], [])
            for round in 0...rounds {
                let (few, all) = (try seconds(sparse, part), try seconds(dense, part))
                if round > 0 {
                    times.sparse.append(few)
                    times.dense.append(all)
                }
                progress.show("sparse connector, \(images) images", round, of: rounds, unit: "rounds")
            }
            progress.finish()
            return BenchmarkResult(
                name("connector, sparse router, top \(topK) of \(expertCount), beside our dense form", images),
                unit: "ms",
                ours: milliseconds(times.sparse),
                peer: milliseconds(times.dense),
                goal: .cost(atMost: 0.5, of: "our dense form")
            )
        }
    }

    /// The time of one forward and backward pass with new gradients, which are forgotten again.
    private func seconds(_ connector: any Connector, _ input: Input) throws -> Double {
        try Interruption.check()
        try device.synchronize()
        let start = ContinuousClock.now
        let aligned = try connector(input.tokens, tasks: input.tasks).aligned
        try aligned.backward(gradient: input.direction)
        try device.synchronize()
        let time = (ContinuousClock.now - start) / .seconds(1)
        try clear(connector)
        return time
    }

    private func clear(_ connector: any Connector) throws {
        for (_, parameter) in connector.namedParameters() { try parameter.value.setGradient(nil) }
    }

    /// Gives the peer weights and input.
    private func start(
        _ peer: PeerProcess,
        _ connector: any Connector,
        _ configuration: ConnectorConfiguration,
        _ input: Input
    ) throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-bench-\(UUID()).safetensors")
        defer { try? FileManager.default.removeItem(at: file) }
        let weights = connector.namedParameters().map { ($0.name, $0.parameter.value) }
        try SafetensorsFile.write(
            weights + [("benchmark.tokens", input.tokens), ("benchmark.direction", input.direction)],
            to: file
        )
        let spec = Spec(connector: configuration, tasks: input.tasks)
        let size = try peer.request(
            ConnectorRequest(file: file.path, device: device.description, spec: spec),
            Size.self
        )
        guard size.parameters == connector.parameterCount() else {
            throw Failure.failed("the peer has \(size.parameters) weights, we have \(connector.parameterCount())")
        }
    }

    /// Checks that output and gradients are the peer's.
    private func compare(_ peer: PeerProcess, _ connector: any Connector, _ input: Input, _ images: Int) throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-bench-\(UUID()).bin")
        defer { try? FileManager.default.removeItem(at: file) }
        let result = try peer.request(ResultRequest(images: images, file: file.path), Result.self)
        let expected = try Data(contentsOf: file).withUnsafeBytes { bytes in
            try Tensor(copying: bytes, shape: [images, tokenCount, outputSize], dtype: .float32).to(device)
        }
        let aligned = try connector(input.tokens, tasks: input.tasks).aligned
        try aligned.backward(gradient: input.direction)
        let norm = try OptimizerKernel.totalNorm(
            connector.namedParameters().compactMap { try $0.parameter.value.gradient?.to(.float32) }
        ).item()
        let difference = try withoutGradients {
            try (aligned.to(.float32) - expected).norm().item() / expected.norm().item()
        }
        try clear(connector)
        // Sums of thousands of products in another order; bfloat16 has 8 bits of mantissa.
        let tolerance = dtype == .float32 ? 1e-4 : 3e-2
        guard difference < tolerance, abs(norm / result.gradientNorm - 1) < tolerance else {
            throw Failure.failed(
                "the peer's connector is not ours: outputs differ by \(difference), gradient norms \(norm) and "
                    + "\(result.gradientNorm)"
            )
        }
    }
}
