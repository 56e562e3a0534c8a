public import Torch

/// Pixels as the vision transformer takes them.
public enum ImageTensor {
    /// CLIP's mean of red, green and blue, on a scale of 0 to 1.
    public static let mean: [Float] = [0.48145466, 0.4578275, 0.40821073]
    /// CLIP's standard deviation of red, green and blue.
    public static let deviation: [Float] = [0.26862954, 0.26130258, 0.27577711]

    /// Scales bytes to 0...1 and normalises each channel.
    ///
    /// - Parameter pixels: `[B, H, W, 3]` (uint8).
    /// - Returns: `[B, 3, H, W]` in float32.
    public static func normalized(_ pixels: Tensor) throws(TorchError) -> Tensor {
        try normalized(unit: pixels.permute(0, 3, 1, 2).to(.float32) / 255)
    }

    /// Normalises each channel of pixels on a scale of 0 to 1: `[B, 3, H, W]`.
    public static func normalized(unit: Tensor) throws(TorchError) -> Tensor {
        let mean = try Tensor(mean, shape: [1, 3, 1, 1]).to(unit.device)
        let deviation = try Tensor(deviation, shape: [1, 3, 1, 1]).to(unit.device)
        return try ((unit - mean) / deviation).contiguous()
    }
}
