public import UniMedData

/// Why a sample cannot be asked, answered or scored.
public enum TaskError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A sample lacks what its task needs.
    case missingField(field: String, task: MedicalTask, dataset: String, sampleID: String)
    /// A sample's box is not a box of its image.
    case invalidBox(box: BoundingBox, dataset: String, sampleID: String)
    /// A sample's range of slices is not one of a volume.
    case invalidSlices(range: SliceRange, dataset: String, sampleID: String)
    /// A sample of one task was given to another task's definition.
    case wrongTask(expected: MedicalTask, got: MedicalTask)

    /// What went wrong, where, what was expected and what was got.
    public var description: String {
        switch self {
        case .missingField(let field, let task, let dataset, let sampleID):
            "\(dataset), sample \(sampleID), \(field): the task \(task.rawValue) needs it, got nothing"
        case .invalidBox(let box, let dataset, let sampleID):
            "\(dataset), sample \(sampleID), box: expected finite edges with an area inside an image with pixels, got "
                + "(\(box.xMin), \(box.yMin)) to (\(box.xMax), \(box.yMax))"
        case .invalidSlices(let range, let dataset, let sampleID):
            "\(dataset), sample \(sampleID), boxSlices: expected a range of slices of a volume with slices, got "
                + "\(range.start) to \(range.end)"
        case .wrongTask(let expected, let got):
            "task: expected a sample of \(expected.rawValue), got one of \(got.rawValue)"
        }
    }

    /// The kind of error without anything that depends on the data.
    public var shortDescription: String {
        switch self {
        case .missingField: "missing field"
        case .invalidBox: "invalid box"
        case .invalidSlices: "invalid slices"
        case .wrongTask: "wrong task"
        }
    }
}
