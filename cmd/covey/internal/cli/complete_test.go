package cli_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// nameless are the commands whose arguments are not completed with names, and why.
func nameless() map[string]string {
	return map[string]string{
		"explain": "an error's reason, which is completed with reasons", "explain access": "what is wanted, and a subject",
		"context use": "of this user's files", "context delete": "of this user's files", "context show": "of this user's files",
		"admin backup": "a file", "admin verify": "a file", "admin restore": "a file", "admin operator sign": "a file", "admin operator detach-root": "a file", "admin import nsc": "a folder", "org export": "a folder",
		"admin quota set": "an organization or an account of it", "admin quota delete": "an organization or an account of it",
		"admin operator retire": "a key that is shown by admin operator show", "admin fleet-ca retire": "one that is shown by admin fleet-ca status",
		"federation exchange": "takes no API key, which reading names does",
	}
}

// twoOfEach answers every list with two resources, one of which has a name that
// drives terminals.
func twoOfEach(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")))
	if err != nil {
		return err
	}
	m := d.(protoreflect.MethodDescriptor) //nolint:errcheck,forcetypeassert // what a call names is one
	in, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	if err != nil {
		return err
	}
	out, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
	if err != nil {
		return err
	}
	if err := stream.RecvMsg(in.New().Interface()); err != nil {
		return err
	}
	resp := out.New()
	fields := resp.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !f.IsList() || f.Message() == nil || f.Message().Fields().ByName("name") == nil {
			continue
		}
		for _, id := range []string{"alpha", "beta", "gamma\x1b[2J"} {
			one := resp.Mutable(f).List().AppendMutable().Message()
			one.Set(f.Message().Fields().ByName("name"), protoreflect.ValueOfString("organizations/acme/things/"+id))
		}
	}
	return stream.SendMsg(resp.Interface())
}

// Whoever adds a command that takes a name lets shells complete it, or says why
// not.
func TestNamesAreCompleted(t *testing.T) {
	u := newUser(t)
	u.withPlane("names", twoOfEach)
	reasons, takes, completed := nameless(), regexp.MustCompile(`^\[?[A-Z]`), 0
	for path, c := range leaves() {
		words := strings.Fields(c.Use)
		switch c.Name() {
		case "create", "add", "invite", "certificate": // it is not there yet
			continue
		}
		if len(words) < 2 || !takes.MatchString(words[1]) || reasons[path] != "" {
			continue
		}
		_, stdout, stderr := u.run(append([]string{"__complete"}, append(strings.Fields(path), "")...)...)
		stdout = strings.Replace(stdout, "--to\tthe organization that it is for\n", "", 1) // which share offer needs
		if got := strings.Fields(stdout); len(got) < 3 || !strings.HasSuffix(got[0], "alpha") || !strings.HasSuffix(got[1], "beta") || got[2] != ":4" {
			t.Errorf("covey %s is completed with %q: %s", c.Use, stdout, stderr)
		}
		completed++
	}
	if completed < 40 {
		t.Errorf("only %d commands take names", completed)
	}
	for line, want := range map[string]string{
		"account get b":                        "beta",
		"account get alpha ":                   "",
		"creds issue --account ":               "alpha beta",
		"user create x --role al":              "alpha",
		"import create x --share ":             "alpha beta",
		"admin plan assign alpha ":             "beta",
		"account create ":                      "",
		"creds revoke alpha ":                  "beta",
		"member set-role ":                     "alpha beta",
		"watch --org a":                        "alpha",
		"creds issue --context nobody ":        "",
		"creds list --org acme --account x al": "alpha",
	} {
		args := strings.Split("__complete "+line, " ")
		_, stdout, _ := u.run(args...)
		got := slices.DeleteFunc(strings.Fields(stdout), func(w string) bool { return strings.HasPrefix(w, ":") })
		if strings.Join(got, " ") != want {
			t.Errorf("%q is completed with %q, want %q", line, got, want)
		}
	}
}
