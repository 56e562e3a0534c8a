import Foundation
import Synchronization
import UniMedData
import UniMedImaging

/// The volumes of a data set: the references of all that were asked for, and the values of the last few.
///
/// Pictures are asked for slice by slice, volume after volume, from several threads.
final class VolumeStackCache: Sendable {
    private struct State {
        var references: [String: ImageReference] = [:]
        /// The last used comes last.
        var stacks: [VolumeStack] = []
    }

    /// Reads the volume of a path, and says how it becomes pictures.
    typealias Reader = @Sendable (String) throws(ImagingError) -> (volume: ImageVolume, slicing: VolumeSlicing)

    private let keptCount: Int
    private let read: Reader
    private let state = Mutex(State())

    init(keptCount: Int = 3, read: @escaping Reader) {
        self.keptCount = keptCount
        self.read = read
    }

    /// The volumes of files, and of folders with a DICOM series, cut in one way.
    convenience init(_ folder: DatasetFolder, slicing: VolumeSlicing) {
        self.init { (path) throws(ImagingError) in (try VolumeFile.read(folder.url(path)), slicing) }
    }

    /// Whether a path was asked for and is that of a volume.
    func knows(_ path: String) -> Bool { state.withLock { $0.references[path] != nil } }

    /// The reference of a file's volume.
    func reference(_ path: String) throws(ImagingError) -> ImageReference {
        if let known = state.withLock({ $0.references[path] }) { return known }
        return try stack(path).reference
    }

    /// The picture of a slice.
    func picture(_ reference: ImageReference, ofVolume path: String) throws(ImagingError) -> RGBImage {
        try stack(path).picture(reference)
    }

    private func stack(_ path: String) throws(ImagingError) -> VolumeStack {
        let known = state.withLock { state -> VolumeStack? in
            guard let index = state.stacks.firstIndex(where: { $0.reference.path == path }) else { return nil }
            let stack = state.stacks.remove(at: index)
            state.stacks.append(stack)
            return stack
        }
        if let known { return known }
        // Two threads that need the same volume at once both read it, which does not happen often.
        let (volume, slicing) = try read(path)
        let stack = VolumeStack(volume, path: path, slicing: slicing)
        state.withLock { state in
            state.references[path] = stack.reference
            guard !state.stacks.contains(where: { $0.reference.path == path }) else { return }
            state.stacks.append(stack)
            if state.stacks.count > keptCount { state.stacks.removeFirst() }
        }
        return stack
    }
}

// MARK: - Data of one's own

extension VolumeStackCache {
    /// The reference of a picture, of a folder of slices, of a DICOM series, or of a file of a volume.
    ///
    /// - Parameters:
    ///   - path: A file, or a folder, which is a volume.
    ///   - filesAreVolumes: Whether a file that holds a volume is one, and not its middle slice.
    ///   - folder: The data set's.
    ///   - drafts: Knows pictures and folders of slices.
    func image(
        _ path: String,
        filesAreVolumes: Bool,
        in folder: DatasetFolder,
        drafts: inout SampleDrafts
    ) -> Result<ImageReference, Skip> {
        guard DatasetFolder.isInside(path) else { return drafts.image(path) }
        let isVolume =
            folder.isFile(path)
            ? filesAreVolumes && VolumeFile.isVolume(folder.url(path))
            : knows(path) || folder.isDICOMFolder(path)
        guard isVolume else { return drafts.image(path) }
        do throws(ImagingError) {
            return .success(try reference(path))
        } catch {
            return .failure(Skip(error.importReason))
        }
    }

    /// The picture of a reference that ``image(_:filesAreVolumes:in:drafts:)`` made, or of one of its slices.
    func picture(_ reference: ImageReference, in folder: DatasetFolder) throws(ImagingError) -> RGBImage {
        guard let (path, slice) = ImageReference.sliceParts(ofPath: reference.path), !folder.isFile(reference.path)
        else { return try ImageDecoder.decode(contentsOf: folder.url(reference.path)) }
        guard !knows(path), folder.isFolder(path), !folder.isDICOMFolder(path) else {
            return try picture(reference, ofVolume: path)
        }
        let names = folder.sliceNames(in: path)
        guard names.indices.contains(slice) else {
            throw ImagingError(.unreadableFile, file: reference.path, detail: "the volume has no such slice")
        }
        return try ImageDecoder.decode(contentsOf: folder.url(path + "/" + names[slice]))
    }
}

extension ImportOptions {
    /// How values of volumes become grey: the setting `window`.
    func volumeWindow() throws(ImportError) -> VolumeSlicing.Window {
        let text = settings["window"] ?? "percentiles"
        guard let window = VolumeSlicing.Window(text) else {
            throw ImportError(
                .invalid,
                "expected \(VolumeSlicing.Window.forms), found '\(text)'",
                field: "settings.window"
            )
        }
        return window
    }
}
