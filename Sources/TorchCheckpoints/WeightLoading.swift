public import Foundation
public import Torch
public import TorchNN

/// What was done with the tensors of a file.
public struct WeightLoadingReport: Equatable, Sendable {
    /// The number of parameters that were set.
    public let loadedCount: Int

    /// The file's tensors that the table drops on purpose.
    public let dropped: [String]

    /// The parameters that the file does not have and that the caller allowed to be missing.
    public let missing: [String]
}

/// Sets the weights of a module from a file, strictly.
///
/// Every tensor of the file must have a place or be dropped on purpose, every weight must be set or be allowed to be
/// missing, shapes must be equal (nothing is broadcast), and fractions do not become whole numbers or the reverse. All of
/// that is checked before the first weight changes.
///
/// Weights keep their element type, device and memory. Weights that have no memory yet (on ``Device/meta``) come to
/// `device`; those of them that are frozen and have the file's element type share the mapped memory of the file.
///
/// - Parameters:
///   - module: The module; its names are those of ``Module/namedParameters(prefix:)``.
///   - source: The file.
///   - map: From the file's names to the module's.
///   - allowedMissing: Patterns (as in ``KeyMap``) of weights that may keep their values, such as those of a frozen part
///     that the file leaves out.
///   - device: Where weights without memory go.
/// - Returns: What was loaded, dropped and left.
/// - Throws: ``CheckpointError`` of kind `mismatch`: one error with the counts and first names of all that is missing,
///   unexpected, there twice, or of another shape or type. Also `tensor`, when a copy fails.
@discardableResult
public func loadWeights(
    into module: some Module,
    from source: any WeightSource,
    mapping map: KeyMap = .identity,
    allowedMissing: [String] = [],
    device: Device = .cpu
) throws(CheckpointError) -> WeightLoadingReport {
    let parameters = module.namedParameters()
    let (keys, report) = try match(
        parameters.map { (name: $0.name, tensor: $0.parameter.value) },
        with: source,
        map: map,
        allowedMissing: allowedMissing
    )
    for (name, parameter) in parameters {
        guard let key = keys[name] else { continue }
        let tensor = try source.tensor(named: key)
        do throws(TorchError) {
            if parameter.value.device == .meta {
                let placed = try tensor.to(parameter.value.dtype).to(device)
                let isOwn = !parameter.isTrainable || !placed.sharesStorage(with: tensor)
                try parameter.replace(isOwn ? placed : placed.clone())
            } else {
                try parameter.load(tensor)
            }
        } catch {
            throw CheckpointError(.tensor, file: source.path, key: key, "\(error)")
        }
    }
    return report
}

/// Writes the weights of a module to a safetensors file, which is there completely or not at all.
///
/// - Parameters:
///   - module: The module; its names are those of ``Module/namedParameters(prefix:)``.
///   - trainableOnly: Whether frozen weights are left out.
///   - map: From the file's names to the module's, as for loading.
///   - metadata: Texts for the header.
///   - url: The file.
/// - Throws: ``CheckpointError`` of kind `mismatch` when a weight has no name in the file, or `unwritable`.
public func saveWeights(
    of module: some Module,
    trainableOnly: Bool = false,
    mapping map: KeyMap = .identity,
    metadata: [String: String] = [:],
    to url: URL
) throws(CheckpointError) {
    let parameters = trainableOnly ? module.trainableParameters() : module.namedParameters()
    let entries = try map.fileEntries(of: parameters.map { (name: $0.name, value: $0.parameter.value) })
    try SafetensorsFile.write(entries, metadata: metadata, to: url)
}

/// Sets tensors from a file, strictly, as for a module.
///
/// The tensors keep their element type, device and memory. All is checked before the first tensor changes.
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
    let (keys, report) = try match(parameters, with: source, map: map, allowedMissing: allowedMissing)
    // Copying to the meta device would succeed and change nothing.
    precondition(
        parameters.allSatisfy { $0.tensor.device != .meta },
        "weights without memory are set through their module"
    )
    for (name, parameter) in parameters {
        guard let key = keys[name] else { continue }
        let tensor = try source.tensor(named: key)
        do throws(TorchError) {
            _ = try withoutGradients { () throws(TorchError) in try parameter.copy(from: tensor) }
        } catch {
            throw CheckpointError(.tensor, file: source.path, key: key, "\(error)")
        }
    }
    return report
}

/// The file's key of every parameter that it sets; throws one error for all that does not fit.
private func match(
    _ parameters: [(name: String, tensor: Tensor)],
    with source: any WeightSource,
    map: KeyMap,
    allowedMissing: [String]
) throws(CheckpointError) -> (keys: [String: String], report: WeightLoadingReport) {
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
    let report = WeightLoadingReport(loadedCount: keyOfParameter.count, dropped: dropped, missing: absent)
    return (keyOfParameter, report)
}
