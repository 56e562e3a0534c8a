public import Torch

/// How image tokens are aggregated before the connector (Uni-Med section 3.2.1).
///
/// | `method` in a recipe | `α` tokens that become one | width |
/// |---|---|---|
/// | `projection` | consecutive in row-major order, concatenated | `Dv·α` |
/// | `averagePooling`, `maxPooling` | a square of the image | `Dv` |
public enum ResamplerConfiguration: Codable, Sendable, Equatable {
    /// `rate` consecutive tokens in row-major order are concatenated (Uni-Med eq. 7).
    case projection(rate: Int)
    /// The mean of squares of `side` by `side` tokens, so that `α` is `side²`; 2 in the published code.
    case averagePooling(side: Int)
    /// The largest element, channel by channel, in squares of `side` by `side` tokens; 2 in the published code.
    case maxPooling(side: Int)

    enum CodingKeys: String, CodingKey, CaseIterable {
        case method, rate
    }

    private enum Method: String, Codable {
        case projection, averagePooling, maxPooling
    }

    /// Reads `{method: projection, rate: 4}`; the rate of a pooling is the square of its side.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let method = try container.decodeIfPresent(Method.self, forKey: .method) ?? .projection
        let rate = try container.decodePositive(.rate, default: 4)
        let side = Int(Double(rate).squareRoot())
        if method != .projection {
            try container.require(
                side * side == rate,
                .rate,
                "pooling takes squares of the image: 1, 4, 9, 16, …, got \(rate)"
            )
        }
        switch method {
        case .projection: self = .projection(rate: rate)
        case .averagePooling: self = .averagePooling(side: side)
        case .maxPooling: self = .maxPooling(side: side)
        }
    }

    /// Writes what ``init(from:)`` reads.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        let method: Method =
            switch self {
            case .projection: .projection
            case .averagePooling: .averagePooling
            case .maxPooling: .maxPooling
            }
        try container.encode(method, forKey: .method)
        try container.encode(rate, forKey: .rate)
    }

    /// The compression rate `α`: how many image tokens become one.
    public var rate: Int {
        switch self {
        case .projection(let rate): rate
        case .averagePooling(let side), .maxPooling(let side): side * side
        }
    }

    /// The width of an aggregated token for image tokens of width `size`.
    public func outputSize(of size: Int) -> Int {
        switch self {
        case .projection(let rate): size * rate
        case .averagePooling, .maxPooling: size
        }
    }

    /// Why the tokens of a square grid cannot be aggregated; `nil` when they can.
    package func problem(gridSize: Int) -> String? {
        let count = gridSize * gridSize
        switch self {
        case .projection(let rate):
            return count.isMultiple(of: rate) ? nil : "rate \(rate) does not divide the \(count) image tokens"
        case .averagePooling(let side), .maxPooling(let side):
            if gridSize.isMultiple(of: side) { return nil }
            return
                "rate \(rate) takes squares of \(side)x\(side), which do not divide the \(gridSize)x\(gridSize) image tokens"
        }
    }

    /// Aggregates image tokens: `[images, N, Dv]` becomes `[images, N/α, Dv·α]`, or `[images, N/α, Dv]` where they are pooled.
    ///
    /// As in the published code, the `α` tokens of a projection are consecutive in row-major order, not a square of the
    /// image. Pooling takes squares side by side, without overlap, of an image whose `N` tokens are a square.
    ///
    /// - Throws: ``TorchError`` when `α` does not divide `N`, or squares the image.
    public func callAsFunction(_ tokens: Tensor) throws(TorchError) -> Tensor {
        let (images, count, width) = (tokens.size(0), tokens.size(1), tokens.size(2))
        switch self {
        case .projection(let rate):
            guard count.isMultiple(of: rate) else {
                throw TorchError(
                    operation: "projection resampler",
                    operands: [tokens.summary],
                    message: "the rate \(rate) does not divide \(count) tokens"
                )
            }
            return try tokens.reshape(images, count / rate, width * rate)
        case .averagePooling(let side):
            return try squares(of: tokens, side: side).mean(2, 4).reshape(images, count / rate, width)
        case .maxPooling(let side):
            return try squares(of: tokens, side: side).maximum(2, 4).reshape(images, count / rate, width)
        }
    }

    /// `[images, rows, side, columns, side, Dv]`.
    private func squares(of tokens: Tensor, side: Int) throws(TorchError) -> Tensor {
        let (images, count, width) = (tokens.size(0), tokens.size(1), tokens.size(2))
        let grid = Int(Double(count).squareRoot())
        guard grid * grid == count, grid.isMultiple(of: side) else {
            throw TorchError(
                operation: "pooling resampler",
                operands: [tokens.summary],
                message: "\(count) tokens are no square image that squares of \(side)x\(side) divide"
            )
        }
        return try tokens.reshape(images, grid / side, side, grid / side, side, width)
    }
}
