package federation

import "testing"

func TestWhatIsAnIssuer(t *testing.T) {
	for issuer, want := range map[string]bool{
		"https://idp.example": true, "https://idp.example/realms/a": true, "http://idp.example": false, "https://": false,
		"https://user@idp.example": false, "https://idp.example?x=1": false, "idp.example": false, "https://idp.example#x": false, "": false,
	} {
		if err := ValidateIssuer(issuer); (err == nil) != want {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}
