public import Torch
import TorchNN

extension Llama {
    /// Makes tokens that stand for neighbouring numbers start with similar embeddings and similar scores.
    ///
    /// For models trained from scratch whose tokenizer has a token for every coordinate: their rows are drawn as random
    /// Fourier features of the number (Rahimi & Recht 2007), which have the same size as any other row but fall off
    /// smoothly with the distance of two numbers instead of being unrelated. A model that starts from pretrained weights
    /// has no use for it.
    ///
    /// - Parameters:
    ///   - tokens: The token ids of `0`, `1`, … in order.
    ///   - reach: The distance at which two numbers' rows are about half alike. Default: 6.
    ///   - deviation: The standard deviation of a row's elements. Default: 0.02, as of all rows.
    public func initializeOrdinalTokens(_ tokens: [Int], reach: Double = 6, deviation: Double = 0.02) throws(TorchError)
    {
        guard !tokens.isEmpty else { return }
        let width = configuration.hiddenSize
        let values = try Tensor.arange(0, Double(tokens.count), dtype: .float32).unsqueeze(1)
        let rows = try Tensor(tokens)
        for parameter in [embedding.weight, outputWeight] {
            guard let parameter else { continue }
            // cos(ωx + φ) with ω ~ N(0, 1/reach²) has the kernel exp(-d² / 2 reach²).
            let frequencies = try Tensor.normal([1, width], deviation: 1 / reach)
            let phases = try Tensor.empty([1, width]).fillUniform(0, 2 * Double.pi)
            let features = try (values * frequencies + phases).cos() * (deviation * 2.0.squareRoot())
            let table = try parameter.value.detach().to(.cpu).clone()
            try table.indexCopy(0, rows, features.to(table.dtype))
            try parameter.load(table)
        }
    }
}
