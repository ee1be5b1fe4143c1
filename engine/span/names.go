package span

// typeNames are how types are written where people read them and in the JSON of the admin port.
var typeNames = [ValueTypes]string{"no value", "empty", "string", "bool", "int", "double", "bytes", "array", "map", "raw value", "raw attribute"}

// LevelNames are the names of all levels, in the order of their numbers.
func LevelNames() []string { return levelNames[:] }

// String is the type's name.
func (t ValueType) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown type"
}
