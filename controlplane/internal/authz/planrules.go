package authz

// planRules are of plans, of what is overridden of them, and of whether an
// organization is served: the staff changes, everybody reads.
func planRules() map[string]rule {
	const admin = "/covey.admin.v1."
	staff := func() rule { return rule{roles: []string{Operator}} }
	return map[string]rule{
		v1 + "PlanService/GetPlan":             everybody().anywhere(),
		v1 + "PlanService/ListPlans":           everybody().anywhere(),
		v1 + "PlanService/GetOrganizationPlan": everybody(),

		admin + "PlanService/CreatePlan":                  staff().anywhere(),
		admin + "PlanService/UpdatePlan":                  staff().anywhere(),
		admin + "PlanService/DeletePlan":                  staff().anywhere(),
		admin + "PlanService/ListPlanOrganizations":       staff().anywhere(),
		admin + "PlanService/AssignPlan":                  staff(),
		admin + "PlanService/SetQuotaOverride":            staff(),
		admin + "PlanService/DeleteQuotaOverride":         staff(),
		admin + "OrganizationService/SuspendOrganization": staff(),
		admin + "OrganizationService/ResumeOrganization":  staff(),
	}
}
