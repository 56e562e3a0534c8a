public import Torch

/// Divides scores by a temperature: below 1 likely tokens become likelier, above 1 all become more alike.
public struct Temperature: LogitsProcessor {
    private let temperature: Double

    /// Makes the processor where there is a temperature other than 1.
    public init?(_ options: GenerationOptions) {
        guard let temperature = options.temperature, temperature != 1 else { return nil }
        self.temperature = temperature
    }

    /// The scores divided by the temperature.
    public func callAsFunction(_ scores: Tensor) throws(TorchError) -> Tensor { try scores / temperature }
}
