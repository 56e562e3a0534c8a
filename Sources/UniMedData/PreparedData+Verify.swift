import Foundation

/// One thing that is wrong with prepared data.
public struct DataFinding: Codable, Sendable, Equatable {
    /// How bad it is.
    public enum Severity: String, Codable, Sendable {
        /// The data must not be used.
        case error
        /// The data can be used; someone should look.
        case warning
    }

    /// What a finding is about.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case damagedFile
        case wrongCount
        case unbalancedReport
        case duplicateID
        case missingImage
        case unexpectedImage
        case missingQuestion
        case missingObject
        case badBox
        case emptyAnswer
        case answerNotAChoice
        case leak
        case pictureInSeveralSplits
    }

    /// What it is about.
    public var kind: Kind
    /// How bad it is.
    public var severity: Severity
    /// The sample, image or group at fault, as `data set/name`; the file's path for a damaged file.
    public var subject: String
    /// What is wrong, in words.
    public var message: String
}

extension PreparedData {
    /// Checks everything that can be checked.
    ///
    /// Digests of all files; the counts of the manifest and of the import reports; for each sample that its picture is
    /// there, its box lies inside the image and has an area, its answer is not empty and is one of its choices, its
    /// question or object is there where the task needs one; that names are unique and no group (patient, case) is in
    /// two splits. A picture whose pixels occur in two splits under different groups is a warning.
    ///
    /// - Returns: What was found, nothing when the data are sound.
    public func verify() -> [DataFinding] {
        var findings: [DataFinding] = []
        func report(_ kind: DataFinding.Kind, _ subject: String, _ message: String, warning: Bool = false) {
            let severity: DataFinding.Severity = warning ? .warning : .error
            findings.append(DataFinding(kind: kind, severity: severity, subject: subject, message: message))
        }
        do throws(DataError) {
            try images.verifyDigests()
        } catch {
            report(.damagedFile, error.file ?? folder.path, error.problem)
        }
        if manifest.sampleCount != samples.count {
            report(.wrongCount, "manifest", "expected \(manifest.sampleCount) samples, found \(samples.count)")
        }
        if manifest.annotationCount != annotations.count {
            report(
                .wrongCount,
                "manifest",
                "expected \(manifest.annotationCount) annotations, found \(annotations.count)"
            )
        }
        for source in manifest.sources {
            for (kind, tally) in source.report.tallies.sorted(by: { $0.key < $1.key }) where !tally.isBalanced {
                report(
                    .unbalancedReport,
                    source.dataset,
                    "\(kind): \(tally.found) found, \(tally.imported) imported and \(tally.skippedCount) skipped"
                )
            }
        }
        var names: Set<String> = []
        for sample in samples {
            let name = "\(sample.dataset)/\(sample.id)"
            if !names.insert(name).inserted { report(.duplicateID, name, "more than one sample has this name") }
            for (kind, message) in problems(of: sample) { report(kind, name, message) }
        }
        for annotation in annotations {
            let name = "\(annotation.dataset)/\(annotation.image.path)"
            if images.positions(dataset: annotation.dataset, image: annotation.image) == nil {
                report(.missingImage, name, "an annotation's picture is not in the shards")
            }
            for object in annotation.objects {
                if let problem = object.box.problem(in: annotation.image) {
                    report(.badBox, name, "\(object.name): \(problem)")
                }
            }
        }
        reportLeaks { report(.leak, $0, $1) }
        reportSharedPictures { report(.pictureInSeveralSplits, $0, $1, warning: true) }
        return findings
    }

    private func problems(of sample: Sample) -> [(DataFinding.Kind, String)] {
        var problems: [(DataFinding.Kind, String)] = []
        if sample.task.usesImage {
            if sample.image == nil {
                problems.append((.missingImage, "the task needs a picture and the sample names none"))
            } else if images.positions(of: sample) == nil {
                problems.append((.missingImage, "its picture is not in the shards"))
            }
        } else if sample.image != nil {
            problems.append((.unexpectedImage, "question answering uses no picture"))
        }
        switch sample.task {
        case .questionAnswering, .visualQuestionAnswering, .imageClassification:
            if sample.question?.isBlank ?? true { problems.append((.missingQuestion, "the task needs a question")) }
        case .referringExpressionComprehension, .referringExpressionGeneration:
            if sample.objectName?.isBlank ?? true {
                problems.append((.missingObject, "the task needs an object's name"))
            }
            if sample.box == nil { problems.append((.badBox, "the task needs a box")) }
        case .reportGeneration:
            break
        }
        if let box = sample.box, let image = sample.image, let problem = box.problem(in: image) {
            problems.append((.badBox, problem))
        }
        if let problem = sample.sliceProblem { problems.append((.badBox, problem)) }
        if sample.task != .referringExpressionComprehension, sample.answer.isBlank {
            problems.append((.emptyAnswer, "the answer is empty"))
        }
        if let choices = sample.choices, !choices.contains(sample.answer) {
            problems.append((.answerNotAChoice, "the answer is not one of the \(choices.count) choices"))
        }
        return problems
    }

    private func reportLeaks(_ report: (String, String) -> Void) {
        var splits: [String: Set<Split>] = [:]
        var order: [String] = []
        for sample in samples {
            guard let group = sample.group else { continue }
            let name = "\(sample.dataset)/\(group)"
            if splits[name] == nil { order.append(name) }
            splits[name, default: []].insert(sample.split)
        }
        for name in order {
            guard let found = splits[name], found.count > 1 else { continue }
            let list = found.map(\.rawValue).sorted().joined(separator: " and ")
            report(name, "samples of one group are in \(list)")
        }
    }

    private func reportSharedPictures(_ report: (String, String) -> Void) {
        var splits: [String: Set<Split>] = [:]
        for sample in samples {
            guard let image = sample.image else { continue }
            splits["\(sample.dataset)/\(image.path)", default: []].insert(sample.split)
        }
        for (_, files) in images.sharedPictures.sorted(by: { $0.key < $1.key }) {
            let names = files.map { "\($0.dataset)/\($0.path)" }
            let found = names.reduce(into: Set<Split>()) { $0.formUnion(splits[$1] ?? []) }
            guard found.count > 1 else { continue }
            let list = found.map(\.rawValue).sorted().joined(separator: " and ")
            report(names.joined(separator: ", "), "the same picture is in \(list)")
        }
    }
}

extension BoundingBox {
    /// Why this is not a box of an image; `nil` when it is one.
    package func problem(in image: ImageReference) -> String? {
        guard [xMin, yMin, xMax, yMax].allSatisfy(\.isFinite) else { return "the box has an edge that is not finite" }
        guard area > 0 else { return "the box has no area" }
        guard xMin >= 0, yMin >= 0, xMax <= Double(image.width), yMax <= Double(image.height) else {
            return "the box leaves the image"
        }
        return nil
    }
}

extension Sample {
    /// Why the box's range of slices is not one of the sample's image; `nil` when it is, or none is needed.
    package var sliceProblem: String? {
        guard let volume = image?.volume else {
            return boxSlices == nil ? nil : "the box has a range of slices and the image is no volume"
        }
        guard let boxSlices else { return box == nil ? nil : "the box has no range of slices in a volume" }
        guard boxSlices.start.isFinite, boxSlices.end.isFinite, boxSlices.length > 0 else {
            return "the range of slices is empty"
        }
        guard boxSlices.start >= 0, boxSlices.end <= Double(volume.slices) else {
            return "the range of slices leaves the volume"
        }
        return nil
    }
}

extension String {
    fileprivate var isBlank: Bool { allSatisfy(\.isWhitespace) }
}
