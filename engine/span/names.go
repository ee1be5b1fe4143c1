package span

// levelNames and typeNames are how levels and types are written where people read them and
// in the JSON of the admin port.
var (
	levelNames = [Levels]string{"span", "resource", "scope", "event", "link"}
	typeNames  = [ValueTypes]string{"no value", "empty", "string", "bool", "int", "double", "bytes", "array", "map", "raw value", "raw attribute"}
)

// String is the level's name.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return "unknown level"
}

// ParseLevel gives the level of a name.
func ParseLevel(name string) (level Level, ok bool) {
	for i, known := range levelNames {
		if known == name {
			return Level(i), true
		}
	}
	return 0, false
}

// LevelNames are the names of all levels, in the order of their numbers.
func LevelNames() []string { return levelNames[:] }

// String is the type's name.
func (t ValueType) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown type"
}
