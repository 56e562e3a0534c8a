import UniMedData

/// The numbers of samples that Uni-Med states for a data set (table 4), to be compared with what was imported.
struct PaperCounts {
    let task: MedicalTask
    let train: Int
    let test: Int

    /// Warns where the counts differ.
    ///
    /// Small sets are not the published one (a part of it, a test): nothing is said of those with less than half as many
    /// samples.
    ///
    /// - Parameter splitsAreRandom: Compares the sum alone, because the paper's own draw cannot be repeated.
    func check(_ samples: [Sample], report: inout ImportReport, splitsAreRandom: Bool = false) {
        let (hasTrain, hasTest) = samples.reduce(into: (0, 0)) { counts, sample in
            guard sample.task == task else { return }
            if sample.split == .train { counts.0 += 1 } else if sample.split == .test { counts.1 += 1 }
        }
        guard 2 * (hasTrain + hasTest) >= train + test else { return }
        let kind = ImportReport.kind(task: task)
        if splitsAreRandom {
            guard hasTrain + hasTest != train + test else { return }
            report.warn("\(kind): \(hasTrain + hasTest) samples, the paper has \(train + test)")
        } else if hasTrain != train || hasTest != test {
            report.warn(
                "\(kind): \(hasTrain) samples for training and \(hasTest) for testing, the paper has \(train) and \(test)"
            )
        }
    }
}

/// An element of a JSON list that may not be what it should be, without spoiling the others.
struct Lenient<Value: Decodable>: Decodable {
    let result: Result<Value, Skip>

    init(from decoder: any Decoder) throws {
        do {
            result = .success(try Value(from: decoder))
        } catch {
            let field = DataError.decoding(error, file: nil).field?.split(separator: ".").last.map(String.init)
            result = .failure(Skip(field.map { "the field '\($0)' is missing or of another type" } ?? "not an object"))
        }
    }
}
