package authz

// alertRules are of alerts: who runs the organization says what is looked at, and
// whoever works in it takes care.
func alertRules() map[string]rule {
	return map[string]rule{
		v1 + "AlertService/CreateAlertPolicy": admins(),
		v1 + "AlertService/GetAlertPolicy":    everybody(),
		v1 + "AlertService/ListAlertPolicies": everybody(),
		v1 + "AlertService/UpdateAlertPolicy": admins(),
		v1 + "AlertService/DeleteAlertPolicy": admins(),
		v1 + "AlertService/TestAlertPolicy":   admins(),
		v1 + "AlertService/GetAlert":          everybody(),
		v1 + "AlertService/ListAlerts":        everybody(),
		v1 + "AlertService/AcknowledgeAlert":  {roles: []string{Operator, Owner, Admin, Developer, Billing}},
	}
}
