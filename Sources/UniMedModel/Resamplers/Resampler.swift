public import Torch

/// How image tokens are aggregated before the connector (Uni-Med section 3.2.1).
public enum ResamplerConfiguration: Codable, Sendable, Equatable {
    /// `rate` consecutive tokens in row-major order are concatenated (Uni-Med eq. 7).
    case projection(rate: Int)

    enum CodingKeys: String, CodingKey, CaseIterable {
        case method, rate
    }

    private enum Method: String, Codable {
        case projection
    }

    /// Reads `{method: projection, rate: 4}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        switch try container.decodeIfPresent(Method.self, forKey: .method) ?? .projection {
        case .projection: self = .projection(rate: try container.decodePositive(.rate, default: 4))
        }
    }

    /// Writes what ``init(from:)`` reads.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .projection(let rate):
            try container.encode(Method.projection, forKey: .method)
            try container.encode(rate, forKey: .rate)
        }
    }

    /// The compression rate `α`: how many image tokens become one.
    public var rate: Int {
        switch self {
        case .projection(let rate): rate
        }
    }

    /// The width of an aggregated token for image tokens of width `size`.
    public func outputSize(of size: Int) -> Int {
        switch self {
        case .projection(let rate): size * rate
        }
    }

    /// Aggregates image tokens: `[images, N, Dv]` becomes `[images, N/α, Dv·α]`.
    ///
    /// As in the published code, the `α` tokens are consecutive in row-major order, not a square of the image.
    ///
    /// - Throws: ``TorchError`` when `α` does not divide `N`.
    public func callAsFunction(_ tokens: Tensor) throws(TorchError) -> Tensor {
        switch self {
        case .projection(let rate):
            let (images, count, width) = (tokens.size(0), tokens.size(1), tokens.size(2))
            guard count.isMultiple(of: rate) else {
                throw TorchError(
                    operation: "projection resampler",
                    operands: [tokens.summary],
                    message: "the rate \(rate) does not divide \(count) tokens"
                )
            }
            return try tokens.reshape(images, count / rate, width * rate)
        }
    }
}
