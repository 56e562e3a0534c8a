import Torch
import UniMedModel

extension ModelDescription {
    /// What one part has to compute and move in an optimizer step, however well it is written.
    public struct StepWork: Codable, Sendable, Equatable {
        /// The part's name.
        public var name: String
        /// Floating-point operations.
        public var operations: Double
        /// Bytes of weights, gradients and optimizer state that are read or written; activations are not counted.
        public var bytes: Double
    }

    /// The least time that an optimizer step can take on a device.
    ///
    /// Each part takes as long as its operations or its bytes do, whichever is longer; parts follow one another.
    public struct StepFloor: Codable, Sendable, Equatable {
        /// The time of one part.
        public struct Part: Codable, Sendable, Equatable {
            /// The part's name.
            public var name: String
            /// The time of its operations.
            public var operationSeconds: Double
            /// The time of its bytes.
            public var transferSeconds: Double

            /// The longer of both.
            public var seconds: Double { max(operationSeconds, transferSeconds) }
        }

        /// The device.
        public var rates: DeviceRates
        /// The parts.
        public var parts: [Part]
        /// The sum over the parts.
        public var seconds: Double
        /// The samples of a step in that time.
        public var samplesPerSecond: Double
    }

    /// The least time that an optimizer step can take on a device of these rates.
    public func floor(on rates: DeviceRates) -> StepFloor {
        let parts = stepWork.map {
            StepFloor.Part(
                name: $0.name,
                operationSeconds: $0.operations / rates.operationsPerSecond,
                transferSeconds: $0.bytes / rates.bytesPerSecond
            )
        }
        let seconds = parts.reduce(0) { $0 + $1.seconds }
        return StepFloor(
            rates: rates,
            parts: parts,
            seconds: seconds,
            samplesPerSecond: Double(sample.batchSize * training.accumulation) / seconds
        )
    }
}

extension ModelDescription.StepWork {
    /// The work of a step from the operations of a sample and the weights of the parts.
    static func parts(
        _ configuration: UniMedConfiguration,
        operations: [ModelDescription.Operations],
        parts: [ModelDescription.Part],
        precision: DType,
        sample: ModelDescription.SampleSize,
        training: ModelDescription.TrainingSettings
    ) -> [ModelDescription.StepWork] {
        let batches = Double(training.accumulation)
        let samples = batches * Double(sample.batchSize)
        func count(_ number: (ModelDescription.Part) -> Int, where isMeant: (ModelDescription.Part) -> Bool) -> Double {
            Double(parts.reduce(0) { $0 + (isMeant($1) ? number($1) : 0) })
        }
        func cost(where isMeant: (String) -> Bool) -> Double {
            samples * operations.reduce(0) { $0 + (isMeant($1.name) ? $1.forward + $1.backward : 0) }
        }
        // Read in both passes, in float32; a narrower copy for the second would cost as much to write. Their gradients
        // are written.
        let perTrained = 3.0 * 4
        let passes = training.gradientCheckpointing ? 3.0 : 2.0

        var work: [ModelDescription.StepWork] = []
        if !training.keepsFeatures {
            let vision = ModelDescription.Part.vision
            let bytes = count(\.parameters, where: \.isVision) * Double(precision.byteCount)
            work.append(.init(name: vision, operations: cost { $0 == vision }, bytes: batches * bytes))
        }
        let connector = count(\.trained) { !$0.isVision && !$0.isLanguage }
        work.append(
            .init(
                name: "connector",
                operations: cost { $0.hasPrefix("connector") },
                bytes: batches * (connector - unread(configuration, batchSize: sample.batchSize) * 2 / 3) * perTrained
            )
        )
        // Of the embedding table only the rows of the tokens are read, unless it is the vocabulary's head too.
        let table = configuration.language.vocabularySize * configuration.language.hiddenSize
        let rest = configuration.language.tiesEmbeddings ? 0 : Double(table)
        let frozen = count(\.frozen, where: \.isLanguage)
        let frozenBytes = max(frozen - rest, 0) * Double((training.frozenType ?? precision).byteCount) * passes
        let trained = count(\.trained, where: \.isLanguage)
        work.append(
            .init(
                name: "language model",
                operations: cost { $0 == "language model" },
                bytes: batches * (frozenBytes + trained * perTrained)
            )
        )
        // AdamW reads weights, gradients and both moments, and writes all but the gradients.
        let state = Double(training.stateType.byteCount)
        work.append(
            .init(
                name: "optimizer",
                operations: 0,
                bytes: count(\.trained, where: { _ in true }) * (3 * 4 + 4 * state)
            )
        )
        return work
    }

    /// The weights of a hard router's experts that no sample of a batch goes through; their gradients are zeros.
    private static func unread(_ configuration: UniMedConfiguration, batchSize: Int) -> Double {
        guard let mixture = configuration.connector.mixture, case .hard = mixture.router else { return 0 }
        let (from, to) = (configuration.aggregatedSize, configuration.language.hiddenSize)
        let second = mixture.expert == .mlp ? to * to : 0
        return Double(max(mixture.expertCount - batchSize, 0) * (from * to + second))
    }
}
