public import Torch

/// What was done with the tensors of a file.
public struct WeightLoadingReport: Equatable, Sendable {
    /// The number of parameters that were set.
    public let loadedCount: Int

    /// The file's tensors that the table drops on purpose.
    public let dropped: [String]

    /// The parameters that the file does not have and that the caller allowed to be missing.
    public let missing: [String]
}

/// Sets the parameters of a model from a file, strictly.
///
/// Every tensor of the file must have a place or be dropped on purpose, every parameter must be set or be allowed to be
/// missing, shapes must be equal (nothing is broadcast), and fractions do not become whole numbers or the reverse.
/// Parameters keep their element type and device. All of that is checked before the first parameter changes.
///
/// - Parameters:
///   - parameters: The model's parameters by name; a tensor may have several names.
///   - source: The file.
///   - map: From the file's names to the model's.
///   - allowedMissing: Patterns (as in ``KeyMap``) of parameters that may keep their values, such as those of a frozen
///     part that the file leaves out.
/// - Returns: What was loaded, dropped and left.
/// - Throws: ``CheckpointError`` of kind `mismatch`: one error with the counts and first names of all that is missing,
///   unexpected, there twice, or of another shape or type.
@discardableResult
public func loadWeights(
    into parameters: [(name: String, tensor: Tensor)],
    from source: any WeightSource,
    mapping map: KeyMap = .identity,
    allowedMissing: [String] = []
) throws(CheckpointError) -> WeightLoadingReport {
    let byName = Dictionary(parameters.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    precondition(byName.count == parameters.count, "the model has two parameters of the same name")
    let allowed = allowedMissing.map(KeyPattern.init)
    var keyOfParameter: [String: String] = [:]
    var unexpected: [String] = []
    var dropped: [String] = []
    var doubled: [String] = []
    var differing: [String] = []
    for key in source.keys {
        switch map.destination(ofFileKey: key) {
        case .dropped: dropped.append(key)
        case .unknown: unexpected.append(key)
        case .parameter(let name):
            guard let parameter = byName[name] else {
                unexpected.append(key)
                continue
            }
            guard keyOfParameter.updateValue(key, forKey: name) == nil else {
                doubled.append(key)
                continue
            }
            let shape = try source.shape(of: key)
            let dtype = try source.dtype(of: key)
            if shape != parameter.shape || dtype.isFloatingPoint != parameter.dtype.isFloatingPoint {
                differing.append("\(key) (expected \(parameter.summary), got \(dtype.rawValue)\(shape))")
            }
        }
    }
    let absent = parameters.map(\.name).filter { keyOfParameter[$0] == nil }
    let missing = absent.filter { name in !allowed.contains { $0.match(name) != nil } }

    var problems: [String] = []
    func add(_ names: [String], _ what: String) {
        if !names.isEmpty { problems.append("\(names.count) \(what): \(listed(names))") }
    }
    add(missing, "missing")
    add(unexpected, "unexpected")
    add(doubled, "for a parameter that another tensor sets too")
    add(differing, "of another shape or type")
    guard problems.isEmpty else {
        throw CheckpointError(
            .mismatch,
            file: source.path,
            "the weights do not fit the model: \(problems.joined(separator: "; "))"
        )
    }
    for (name, parameter) in parameters {
        guard let key = keyOfParameter[name] else { continue }
        let tensor = try source.tensor(named: key)
        do throws(TorchError) {
            try withoutGradients({ () throws(TorchError) in _ = try parameter.copy(from: tensor) })
        } catch {
            throw CheckpointError(.tensor, file: source.path, key: key, "\(error)")
        }
    }
    return WeightLoadingReport(loadedCount: keyOfParameter.count, dropped: dropped, missing: absent)
}
