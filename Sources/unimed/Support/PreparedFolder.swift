import Foundation

/// The folder of prepared data that is named, or that of the data a run was trained on.
///
/// - Throws: `Failure` when none is named and the run does not name its data.
func preparedFolder(_ named: String?, ofRun run: String, dataFolder: String) throws(Failure) -> URL {
    if let named { return URL(fileURLWithPath: named) }
    struct Record: Decodable { let dataKey: String? }
    let file = URL(fileURLWithPath: run).appendingPathComponent("run.json")
    guard let bytes = FileManager.default.contents(atPath: file.path) else {
        throw Failure.badInput("\(run): no run.json that names its data; give --data")
    }
    guard let key = try? JSONDecoder().decode(Record.self, from: bytes).dataKey else {
        throw Failure.badInput("\(file.path), field 'dataKey': missing; give --data")
    }
    return URL(fileURLWithPath: dataFolder).appendingPathComponent(String(key.prefix(16)))
}
