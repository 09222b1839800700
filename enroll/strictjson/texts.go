package strictjson

import "unicode/utf8"

// Texts reads an object whose members are all strings, as [Unmarshal] does.
func Texts[Name ~string](data []byte) (map[Name]string, error) {
	texts := map[Name]string{}
	s := scanner{data: data}
	if utf8.Valid(data) && readTexts(&s, texts) && s.space() == 0 && s.at == len(data) {
		return texts, nil
	}
	clear(texts) // it is another form, or a wrong one
	err := Unmarshal(data, &texts)
	return texts, err
}

// readTexts reads an object that is plain. It is false for every other.
func readTexts[Name ~string](s *scanner, texts map[Name]string) bool {
	if s.space() != '{' {
		return false
	}
	s.at++
	if s.space() == '}' {
		s.at++
		return true
	}
	for {
		if s.space() != '"' {
			return false
		}
		name, ok := s.text()
		if _, again := texts[Name(name)]; again || !ok || s.space() != ':' {
			return false
		}
		s.at++
		if s.space() != '"' {
			return false
		}
		value, ok := s.text()
		if !ok {
			return false
		}
		texts[Name(name)] = string(value)
		c := s.space()
		s.at++
		if c != ',' {
			return c == '}'
		}
	}
}
