import Foundation
import Synchronization
import UniMedData
import UniMedImaging

/// The volumes of a data set's files: the references of all that were asked for, and the values of the last few.
///
/// Pictures are asked for slice by slice, volume after volume, from several threads.
final class VolumeStackCache: Sendable {
    private struct State {
        var references: [String: ImageReference] = [:]
        /// The last used comes last.
        var stacks: [VolumeStack] = []
    }

    private let folder: DatasetFolder
    private let slicing: VolumeSlicing
    private let keptCount: Int
    private let state = Mutex(State())

    init(_ folder: DatasetFolder, slicing: VolumeSlicing, keptCount: Int = 3) {
        self.folder = folder
        self.slicing = slicing
        self.keptCount = keptCount
    }

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
        let stack = VolumeStack(try VolumeFile.read(folder.url(path)), path: path, slicing: slicing)
        state.withLock { state in
            state.references[path] = stack.reference
            guard !state.stacks.contains(where: { $0.reference.path == path }) else { return }
            state.stacks.append(stack)
            if state.stacks.count > keptCount { state.stacks.removeFirst() }
        }
        return stack
    }
}
