package import UniMedData

/// The numbers of samples that Uni-Med states for its twelve data sets (table 4).
package struct PaperCounts: Sendable, Equatable {
    /// Which of the splits the paper's training set is made of.
    package enum Training: Sendable {
        /// The training split alone; the validation split of the publisher is not used.
        case trainingSplit
        /// Both, because the publisher's training set has no validation split of its own.
        case trainingAndValidation
    }

    /// The importer's name in the registry.
    package let importer: String
    /// The task.
    package let task: MedicalTask
    /// The number of samples for training.
    package let train: Int
    /// The number of samples for testing.
    package let test: Int
    private let training: Training
    // Then the sum alone is compared, because the paper's own draw cannot be repeated.
    private let splitsAreRandom: Bool

    private init(
        _ importer: String,
        _ task: MedicalTask,
        _ train: Int,
        _ test: Int,
        training: Training = .trainingSplit,
        splitsAreRandom: Bool = false
    ) {
        self.importer = importer
        self.task = task
        self.train = train
        self.test = test
        self.training = training
        self.splitsAreRandom = splitsAreRandom
    }

    /// Table 4, in its order.
    package static let all = [
        PaperCounts("medqa", .questionAnswering, 10_178, 1_273),
        PaperCounts("pubmedqa", .questionAnswering, 500, 500, training: .trainingAndValidation),
        PaperCounts("slake", .visualQuestionAnswering, 6_018, 1_014, splitsAreRandom: true),
        PaperCounts("slake", .referringExpressionComprehension, 1_421, 201, splitsAreRandom: true),
        PaperCounts("slake", .referringExpressionGeneration, 1_421, 201, splitsAreRandom: true),
        PaperCounts("path-vqa", .visualQuestionAnswering, 19_755, 6_761),
        PaperCounts("sa-med2d", .referringExpressionComprehension, 20_000, 4_000),
        PaperCounts("sa-med2d", .referringExpressionGeneration, 20_000, 4_000),
        PaperCounts("mimic-cxr", .reportGeneration, 9_997, 3_858),
        PaperCounts("mpx-single", .reportGeneration, 31_416, 6_664),
        PaperCounts("dermamnist", .imageClassification, 7_007, 2_005),
        PaperCounts("organsmnist", .imageClassification, 13_932, 8_827),
    ]

    /// Compares what was imported with the paper's counts of an importer's data set, for the report.
    ///
    /// Small sets are not the published one (a part of it, a test): nothing is said of those with less than half as many
    /// samples.
    ///
    /// - Parameters:
    ///   - importer: The importer's name in the registry.
    ///   - samples: Its samples.
    ///   - report: Is given one comparison per task.
    package static func check(_ importer: String, _ samples: [Sample], report: inout ImportReport) {
        for counts in all where counts.importer == importer { counts.check(samples, report: &report) }
    }

    private func check(_ samples: [Sample], report: inout ImportReport) {
        var (hasTrain, hasTest) = (0, 0)
        for sample in samples where sample.task == task {
            switch sample.split {
            case .train: hasTrain += 1
            case .validation: if training == .trainingAndValidation { hasTrain += 1 }
            case .test: hasTest += 1
            }
        }
        guard 2 * (hasTrain + hasTest) >= train + test else { return }
        report.compare(
            PaperComparison(
                kind: ImportReport.kind(task: task),
                train: hasTrain,
                test: hasTest,
                paperTrain: train,
                paperTest: test,
                splitsAreRandom: splitsAreRandom
            )
        )
    }
}
