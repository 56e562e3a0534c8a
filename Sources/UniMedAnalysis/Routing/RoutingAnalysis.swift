import Foundation
public import Torch
public import UniMedModel

/// How a router spread image tokens over the projection experts.
public struct RoutingSummary: Codable, Sendable, Equatable {
    /// The task, data set or modality.
    public let name: String
    /// The number of images.
    public let images: Int
    /// The mean weight of each expert over images and their tokens; the sum is 1.
    public let meanWeights: [Double]
    /// The share of the tokens whose largest weight each expert has; the sum is 1.
    public let load: [Double]
    /// The mean entropy of a token's weights, divided by that of equal weights: 0 is one expert, 1 all alike.
    public let entropy: Double
    /// The mean weight of each expert at each patch of the image, `[expert][row][column]`, from the top left.
    public let grid: [[[Double]]]
}

/// The routing of tasks, data sets and modalities.
public struct RoutingAnalysis: Codable, Sendable, Equatable {
    /// By task, in the order of the tasks.
    public let tasks: [RoutingSummary]
    /// By data set, by name.
    public let datasets: [RoutingSummary]
    /// By modality, by name; samples that do not name theirs are left out.
    public let modalities: [RoutingSummary]
    /// How differently tasks use the experts: the Jensen-Shannon divergence of their mean weights, divided by the
    /// logarithm of the smaller number of tasks or experts; 0 is alike, 1 is an expert of its own for each.
    public let specialisation: Double

    /// Makes an analysis from summaries.
    public init(tasks: [RoutingSummary], datasets: [RoutingSummary], modalities: [RoutingSummary]) {
        self.tasks = tasks
        self.datasets = datasets
        self.modalities = modalities
        specialisation = Self.divergence(tasks.map(\.meanWeights))
    }

    /// The Jensen-Shannon divergence of distributions, divided by the largest it could be.
    public static func divergence(_ distributions: [[Double]]) -> Double {
        guard distributions.count > 1, let width = distributions.first?.count, width > 1 else { return 0 }
        let share = 1 / Double(distributions.count)
        let mean = (0..<width).map { index in distributions.reduce(0) { $0 + $1[index] * share } }
        let inside = distributions.reduce(0) { $0 + entropy($1) * share }
        return max(0, entropy(mean) - inside) / log(Double(min(distributions.count, width)))
    }

    /// The entropy of a distribution, in nats.
    public static func entropy(_ distribution: [Double]) -> Double {
        distribution.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
    }
}

/// Sums up the routing weights of images.
public struct RoutingAccumulator {
    /// The number of experts.
    public let expertCount: Int
    private let layout: PatchLayout
    private var images = 0
    private var weights: [Double]
    private var load: [Double]
    private var entropy = 0.0
    /// `[tokens, experts]`.
    private var tokens: Tensor?

    /// Begins without images.
    public init(expertCount: Int, layout: PatchLayout) {
        self.expertCount = expertCount
        self.layout = layout
        weights = [Double](repeating: 0, count: expertCount)
        load = weights
    }

    /// Adds images: `[images, tokens, experts]`.
    public mutating func add(_ routing: Tensor) throws(TorchError) {
        let x = try routing.detach().to(.cpu).to(.float64)
        let (count, perImage) = (x.size(0), x.size(1))
        guard count > 0 else { return }
        let rows = try x.reshape(-1, expertCount)
        for (expert, value) in try rows.mean(0).array(of: Double.self).enumerated() {
            weights[expert] += value * Double(count)
        }
        let largest = try rows.argmax(1)
        let ones = try Tensor.full([rows.size(0)], 1 / Double(perImage), dtype: .float64)
        let counted = try Tensor.zeros([expertCount], dtype: .float64).indexAdd(0, largest, ones)
        for (expert, value) in try counted.array(of: Double.self).enumerated() { load[expert] += value }
        // 0 times the logarithm of 0 counts as 0.
        let logarithms = try rows.clamp(.leastNormalMagnitude, 1).log()
        entropy -= try (rows * logarithms).sum(1).mean().item() * Double(count)
        let sum = try x.sum(0)
        tokens = if let tokens { try tokens + sum } else { sum }
        images += count
    }

    /// The summary; `nil` without images.
    public func summary(_ name: String) throws(TorchError) -> RoutingSummary? {
        guard images > 0, let tokens else { return nil }
        let count = Double(images)
        let values = try (tokens / count).array(of: Double.self)
        return RoutingSummary(
            name: name,
            images: images,
            meanWeights: weights.map { $0 / count },
            load: load.map { $0 / count },
            entropy: expertCount > 1 ? entropy / count / log(Double(expertCount)) : 0,
            grid: (0..<expertCount).map { expert in
                layout.grid(stride(from: expert, to: values.count, by: expertCount).map { values[$0] })
            }
        )
    }
}

/// Which patches of an image an aggregated token stands for.
public struct PatchLayout: Sendable, Equatable {
    /// The patches of a side.
    public let side: Int
    private let tokenOfPatch: [Int]

    /// The layout of a model's images.
    public init(_ configuration: UniMedConfiguration) {
        let side = configuration.vision.gridSize
        self.side = side
        switch configuration.resampler {
        case .projection(let rate):
            // Neighbours of a row, and at its end those of the next.
            tokenOfPatch = (0..<side * side).map { $0 / rate }
        case .averagePooling(let square), .maxPooling(let square):
            let width = side / square
            tokenOfPatch = (0..<side * side).map { ($0 / side / square) * width + $0 % side / square }
        }
    }

    /// One value for each token as a grid over the image, rows from the top.
    public func grid(_ tokens: [Double]) -> [[Double]] {
        (0..<side).map { row in
            (0..<side).map { column in
                let token = tokenOfPatch[row * side + column]
                return tokens.indices.contains(token) ? tokens[token] : .nan
            }
        }
    }
}
