import Foundation
import UniMedData
import UniMedImaging

/// The picture or volume that a question is about, before any resizing.
struct AskedImage {
    /// The size, and of a volume the slices.
    let reference: ImageReference
    /// The picture, or the slices of the volume in order.
    let pictures: [RGBImage]

    /// A picture.
    init(_ picture: RGBImage) {
        reference = ImageReference(path: "", width: picture.width, height: picture.height)
        pictures = [picture]
    }

    /// A volume of slices.
    ///
    /// - Parameters:
    ///   - slices: At least one, all of one size.
    ///   - spacing: The distance between them in millimetres, where it is known.
    init(slices: [RGBImage], spacing: Double?) throws(Failure) {
        guard let first = slices.first else { throw .badInput("--image: the volume has no slice") }
        guard let other = slices.first(where: { $0.width != first.width || $0.height != first.height }) else {
            reference = ImageReference(
                path: "",
                width: first.width,
                height: first.height,
                volume: VolumeReference(slices: slices.count, spacing: spacing)
            )
            pictures = slices
            return
        }
        throw .badInput(
            "--image: the slices of a volume have one size, found \(first.width) x \(first.height) and "
                + "\(other.width) x \(other.height)"
        )
    }

    /// A volume with its values, cut and windowed.
    init(_ volume: ImageVolume, slicing: VolumeSlicing = VolumeSlicing()) throws(Failure) {
        let spacing = slicing.size(of: volume).spacing
        try self.init(slices: slicing.pictures(of: volume), spacing: spacing > 0 ? spacing : nil)
    }

    /// Reads a picture, or a folder of pictures that are the slices of a volume in the order of their names.
    ///
    /// Numbers in names count as numbers: `slice 10.png` comes after `slice 9.png`.
    static func read(_ path: String, spacing: Double?) throws -> AskedImage {
        let url = URL(fileURLWithPath: path)
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
            if spacing != nil { throw Failure.badInput("--spacing: the image is no volume") }
            return AskedImage(try ImageDecoder.decode(contentsOf: url))
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }
            .sorted { $0.compare($1, options: [.numeric, .forcedOrdering]) == .orderedAscending }
        guard !names.isEmpty else { throw Failure.badInput("\(path): the folder holds no slices") }
        let slices = try names.map { try ImageDecoder.decode(contentsOf: url.appendingPathComponent($0)) }
        return try AskedImage(slices: slices, spacing: spacing)
    }

    /// The pixels in the size at which pictures are kept, slice after slice.
    func pixels(size: Int) -> [UInt8] {
        pictures.flatMap { PillowResizer.resize($0, width: size, height: size).pixels }
    }
}
