public import Torch

/// A part of a model: weights and other modules, each under the name it has in a checkpoint.
public protocol Module: AnyObject {
    /// The weights and modules directly below, in the order of a checkpoint.
    var members: [ModuleMember] { get }
}

/// What stands under one name in a module.
public enum ModuleMember {
    case parameter(String, Parameter)
    case module(String, any Module)
}

extension Module {
    /// Every weight of the module and of those below it, under its full name (`blocks.0.attn.proj.weight`).
    public func namedParameters(prefix: String = "") -> [(name: String, parameter: Parameter)] {
        members.flatMap { member in
            switch member {
            case .parameter(let name, let parameter): [(name: prefix + name, parameter: parameter)]
            case .module(let name, let module): module.namedParameters(prefix: prefix + name + ".")
            }
        }
    }

    /// Every module of a type, this one and those below it included, under its full name.
    public func modules<Kind: Module>(of kind: Kind.Type, name: String = "") -> [(name: String, module: Kind)] {
        var found: [(name: String, module: Kind)] = []
        if let own = self as? Kind { found.append((name, own)) }
        for case .module(let part, let module) in members {
            found += module.modules(of: kind, name: name.isEmpty ? part : name + "." + part)
        }
        return found
    }

    /// Every weight that is trained, under its full name.
    public func trainableParameters() -> [(name: String, parameter: Parameter)] {
        namedParameters().filter(\.parameter.isTrainable)
    }

    /// Stops training every weight of the module.
    public func freeze() throws(TorchError) {
        for (_, parameter) in namedParameters() { try parameter.freeze() }
    }

    /// Moves every weight to a device.
    public func move(to device: Device) throws(TorchError) {
        for (_, parameter) in namedParameters() where parameter.value.device != device {
            try parameter.replace(parameter.value.to(device))
        }
    }

    /// Casts every frozen weight to the type of the computation, so that no step casts it again.
    public func castFrozenParameters(to dtype: DType) throws(TorchError) {
        for (_, parameter) in namedParameters()
        where !parameter.isTrainable && parameter.value.dtype != dtype && parameter.value.dtype.isFloatingPoint {
            try parameter.replace(parameter.value.to(dtype))
        }
    }

    /// The number of weights.
    public func parameterCount(trainableOnly: Bool = false) -> Int {
        namedParameters().reduce(0) { $0 + (trainableOnly && !$1.parameter.isTrainable ? 0 : $1.parameter.value.count) }
    }
}

/// Modules in a row, named by their position: `0`, `1`, ….
public final class ModuleList<Element: Module>: Module {
    /// The modules in order.
    public let elements: [Element]

    /// Makes a list.
    public init(_ elements: [Element]) { self.elements = elements }

    /// The modules under their positions.
    public var members: [ModuleMember] { elements.enumerated().map { .module("\($0)", $1) } }
}
