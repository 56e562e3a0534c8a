import Foundation
public import Torch

/// How the wave lengths of a rotary embedding are stretched for sequences longer than a model was first trained on.
public enum RotaryScaling: Sendable, Equatable {
    /// Every wave length times `factor`: positions are as it were interpolated.
    case linear(factor: Double)
    /// Llama 3.1's: short waves stay, long ones are stretched by `factor`, and those between move smoothly.
    ///
    /// A wave length below `originalLength / highFrequencyFactor` stays, one above
    /// `originalLength / lowFrequencyFactor` is stretched.
    ///
    /// `originalLength` is the length in tokens that the model was first trained on.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalLength: Int)

    /// The frequency, in radians per token, that takes the place of another one.
    public func scaled(_ frequency: Double) -> Double {
        switch self {
        case .linear(let factor): return frequency / factor
        case .llama3(let factor, let low, let high, let originalLength):
            let waves = Double(originalLength) * frequency / (2 * Double.pi)
            if waves > high { return frequency }
            if waves < low { return frequency / factor }
            let smooth = (waves - low) / (high - low)
            return (1 - smooth) * frequency / factor + smooth * frequency
        }
    }
}

/// Rotary position embedding with the two halves of a head as pairs, as in Llama checkpoints of Hugging Face.
public final class RotaryEmbedding {
    private let headSize: Int
    private let theta: Double
    private let scaling: RotaryScaling?
    private var cosines: Tensor?
    private var sines: Tensor?

    /// Makes an embedding.
    ///
    /// - Parameters:
    ///   - headSize: The width of one head; even.
    ///   - theta: The base of the wave lengths. Default: 10,000.
    ///   - scaling: How the wave lengths are stretched. Default: not at all.
    public init(headSize: Int, theta: Double = 10_000, scaling: RotaryScaling? = nil) {
        precondition(headSize.isMultiple(of: 2), "a rotary head has an even width, got \(headSize)")
        self.headSize = headSize
        self.theta = theta
        self.scaling = scaling
    }

    /// Cosines and sines of positions, to be used by every layer of one pass.
    public struct Angles {
        /// `[tokens, 1, headSize]`.
        let cosines: Tensor
        /// `[tokens, 1, headSize]`, negative in the first half: the rotated half then needs no sign change.
        let signedSines: Tensor
    }

    /// The angles of the positions `[tokens]` (int64), in the type of the computation.
    ///
    /// - Parameter highest: The largest position, so that no value has to be fetched from the device.
    public func angles(of positions: Tensor, highest: Int, dtype: DType) throws(TorchError) -> Angles {
        let device = positions.device
        if cosines == nil || (cosines?.size(0) ?? 0) <= highest || cosines?.device != device {
            try buildTables(length: max(highest + 1, 256), device: device)
        }
        guard let cosines, let sines else { preconditionFailure("the tables were just built") }
        return Angles(
            cosines: try cosines.indexSelect(0, positions).unsqueeze(1).to(dtype),
            signedSines: try sines.indexSelect(0, positions).unsqueeze(1).to(dtype)
        )
    }

    private func buildTables(length: Int, device: Device) throws(TorchError) {
        let half = headSize / 2
        let frequencies = (0..<half).map { index in
            let frequency = 1 / theta.power(Double(2 * index) / Double(headSize))
            return Float(scaling?.scaled(frequency) ?? frequency)
        }
        let positions = try Tensor.arange(0, Double(length), dtype: .float32).unsqueeze(1)
        let angles = try positions * Tensor(frequencies).unsqueeze(0)
        let sine = try angles.sin()
        let cosine = try angles.cos()
        cosines = try Tensor.cat([cosine, cosine], dimension: 1).to(device)
        sines = try Tensor.cat([-sine, sine], dimension: 1).to(device)
    }

    /// Rotates heads: `[tokens, heads, headSize]`.
    ///
    /// - Parameter headCount: How many heads are rotated, from the first; the others are copied. Default: all.
    public static func rotate(_ x: Tensor, by angles: Angles, headCount: Int? = nil) throws(TorchError) -> Tensor {
        try x.rotated(
            cosines: angles.cosines,
            signedSines: angles.signedSines,
            headCount: headCount ?? x.size(1)
        )
    }
}

extension Double {
    fileprivate func power(_ exponent: Double) -> Double { Foundation.pow(self, exponent) }
}
