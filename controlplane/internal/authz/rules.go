package authz

import "maps"

const v1 = "/covey.api.v1."

// Who may call, by role; methods say the rest.
func everybody() rule {
	return rule{roles: []string{Operator, Owner, Admin, Developer, Billing, ReadOnly}}
}
func technical() rule  { return rule{roles: []string{Operator, Owner, Admin, Developer, ReadOnly}} }
func developers() rule { return rule{roles: []string{Operator, Owner, Admin, Developer}} }
func admins() rule     { return rule{roles: []string{Operator, Owner, Admin}} }
func owners() rule     { return rule{roles: []string{Operator, Owner}} }
func money() rule      { return rule{roles: []string{Operator, Owner, Admin, Billing, ReadOnly}} }

// onItself lets holders of keys call a method on themselves, too.
func (r rule) onItself(o own) rule {
	r.own = o
	return r
}

// looked lets roles on single accounts call: the handler asks Reaches.
func (r rule) looked() rule {
	r.filtered = true
	return r
}

// anywhere is for methods that name no organization: the store filters.
func (r rule) anywhere() rule {
	r.anyOrganization = true
	return r
}

// rules is the table: a row for every method.
func rules() map[string]rule {
	all := map[string]rule{}
	for _, part := range []map[string]rule{organizationRules(), peopleRules(), messagingRules(), sharingRules(), staffRules(), planRules(), alertRules()} {
		maps.Copy(all, part)
	}
	return all
}

// staffRules are of covey.admin.v1, which is about the whole installation.
func staffRules() map[string]rule {
	const admin = "/covey.admin.v1."
	return map[string]rule{
		admin + "MaintenanceService/Backup":                       rule{roles: []string{Operator}}.anywhere(),
		admin + "MaintenanceService/VerifyAudit":                  rule{roles: []string{Operator}}.anywhere(),
		admin + "BrokerService/ListBrokers":                       rule{roles: []string{Operator}}.anywhere(),
		admin + "BrokerService/GetBroker":                         rule{roles: []string{Operator}}.anywhere(),
		admin + "BrokerService/DrainBroker":                       rule{roles: []string{Operator}}.anywhere(),
		admin + "BrokerService/UndrainBroker":                     rule{roles: []string{Operator}}.anywhere(),
		admin + "BrokerService/RevokeBroker":                      rule{roles: []string{Operator}}.anywhere(),
		admin + "BrokerService/CreateJoinToken":                   rule{roles: []string{Operator}}.anywhere(),
		admin + "FleetAuthorityService/GetFleetAuthority":         rule{roles: []string{Operator}}.anywhere(),
		admin + "FleetAuthorityService/RotateFleetAuthority":      rule{roles: []string{Operator}}.anywhere(),
		admin + "FleetAuthorityService/RetireFleetAuthority":      rule{roles: []string{Operator}}.anywhere(),
		admin + "FleetAuthorityService/IssueCollectorCertificate": rule{roles: []string{Operator}}.anywhere(),
		admin + "OperatorService/GetOperator":                     rule{roles: []string{Operator}}.anywhere(),
		admin + "OperatorService/StageOperatorKey":                rule{roles: []string{Operator}}.anywhere(),
		admin + "OperatorService/PromoteOperatorKey":              rule{roles: []string{Operator}}.anywhere(),
		admin + "OperatorService/RetireOperatorKey":               rule{roles: []string{Operator}}.anywhere(),

		admin + "StockClusterService/ListStockClusters":  rule{roles: []string{Operator}}.anywhere(),
		admin + "StockClusterService/GetStockCluster":    rule{roles: []string{Operator}}.anywhere(),
		admin + "StockClusterService/CreateStockCluster": rule{roles: []string{Operator}}.anywhere(),
		admin + "StockClusterService/DeleteStockCluster": rule{roles: []string{Operator}}.anywhere(),
		admin + "StockClusterService/ResyncStockCluster": rule{roles: []string{Operator}}.anywhere(),
	}
}

func organizationRules() map[string]rule {
	return map[string]rule{
		v1 + "OrganizationService/SignUp":               rule{roles: []string{Operator}}.anywhere(),
		v1 + "OrganizationService/GetOrganization":      everybody(),
		v1 + "OrganizationService/ListOrganizations":    everybody().anywhere(),
		v1 + "OrganizationService/UpdateOrganization":   admins(),
		v1 + "OrganizationService/CloseOrganization":    owners(),
		v1 + "OrganizationService/UndeleteOrganization": owners(),
		v1 + "OperationService/GetOperation":            everybody().looked(),
		v1 + "OperationService/ListOperations":          everybody(),
		v1 + "OperationService/WaitOperation":           everybody().looked(),
		v1 + "UsageService/QueryUsage":                  money(),
	}
}

func peopleRules() map[string]rule {
	return map[string]rule{
		v1 + "ServiceAccountService/CreateServiceAccount": admins(),
		v1 + "ServiceAccountService/GetServiceAccount":    admins().onItself(ownAll),
		v1 + "ServiceAccountService/ListServiceAccounts":  admins(),
		v1 + "ServiceAccountService/UpdateServiceAccount": admins(),
		v1 + "ServiceAccountService/DeleteServiceAccount": admins(),
		v1 + "APIKeyService/CreateAPIKey":                 admins().onItself(ownMembers),
		v1 + "APIKeyService/GetAPIKey":                    admins().onItself(ownAll),
		v1 + "APIKeyService/ListAPIKeys":                  admins().onItself(ownAll),
		v1 + "APIKeyService/RotateAPIKey":                 admins().onItself(ownAll),
		v1 + "APIKeyService/DisableAPIKey":                admins(),
		v1 + "APIKeyService/EnableAPIKey":                 admins(),
		v1 + "APIKeyService/DeleteAPIKey":                 admins().onItself(ownAll),
		v1 + "MemberService/GetMember":                    everybody().onItself(ownAll),
		v1 + "MemberService/ListMembers":                  everybody(),
		v1 + "MemberService/UpdateMember":                 admins(),
		v1 + "MemberService/DeleteMember":                 admins().onItself(ownAll),
		v1 + "InvitationService/CreateInvitation":         admins(),
		v1 + "InvitationService/GetInvitation":            admins(),
		v1 + "InvitationService/ListInvitations":          admins(),
		v1 + "InvitationService/RevokeInvitation":         admins(),
		v1 + "InvitationService/AcceptInvitation":         {token: true},
		v1 + "AccessService/GetCaller":                    everybody().anywhere().looked(),
		v1 + "AccessService/TestPermissions":              everybody().looked(),
	}
}

func messagingRules() map[string]rule {
	return map[string]rule{
		v1 + "AccountService/CreateAccount":       admins(),
		v1 + "AccountService/BatchCreateAccounts": admins(),
		v1 + "AccountService/BatchUpdateAccounts": admins(),
		v1 + "AccountService/BatchGetAccounts":    everybody(),
		v1 + "AccountService/GetAccount":          everybody(),
		v1 + "AccountService/ListAccounts":        everybody(),
		v1 + "AccountService/UpdateAccount":       admins(),
		v1 + "AccountService/SuspendAccount":      admins(),
		v1 + "AccountService/ResumeAccount":       admins(),
		v1 + "AccountService/DeleteAccount":       admins(),
		v1 + "AccountService/UndeleteAccount":     admins(),
		v1 + "AccountService/PurgeAccount":        owners(),
		v1 + "AccountService/ExportAccount":       owners(),
		v1 + "UserService/CreateUser":             developers(),
		v1 + "UserService/BatchCreateUsers":       developers(),
		v1 + "UserService/BatchGetUsers":          technical(),
		v1 + "UserService/GetUser":                technical(),
		v1 + "UserService/ListUsers":              technical(),
		v1 + "UserService/DeleteUser":             developers(),
		v1 + "UserService/UpdateUser":             developers(),
		v1 + "UserService/SuspendUser":            developers(),
		v1 + "UserService/ResumeUser":             developers(),
		v1 + "CredentialService/IssueCredential":  developers(),
		v1 + "CredentialService/GetCredential":    technical(),

		v1 + "CredentialService/BatchIssueCredentials":  developers(),
		v1 + "CredentialService/BatchRevokeCredentials": developers(),
		v1 + "UserService/BatchUpdateUsers":             developers(),

		v1 + "CredentialService/ListCredentials":  technical(),
		v1 + "CredentialService/RevokeCredential": developers(),
		v1 + "CredentialService/RenewCredential":  developers(),
		v1 + "RoleService/CreateRole":             admins(),
		v1 + "RoleService/GetRole":                technical(),
		v1 + "RoleService/ListRoles":              technical(),
		v1 + "RoleService/UpdateRole":             admins(),
		v1 + "RoleService/DeleteRole":             admins(),
		v1 + "RoleService/StageKey":               admins(),
		v1 + "RoleService/PromoteKey":             admins(),
		v1 + "RoleService/RetireKey":              admins(),
		v1 + "RoleService/RotateKeyNow":           admins(),
		v1 + "RoleService/ListKeyDependents":      technical(),
	}
}

func sharingRules() map[string]rule {
	return map[string]rule{
		v1 + "ExportService/CreateExport":               admins(),
		v1 + "ExportService/GetExport":                  technical(),
		v1 + "ExportService/ListExports":                technical(),
		v1 + "ExportService/UpdateExport":               admins(),
		v1 + "ExportService/DeleteExport":               admins(),
		v1 + "ImportService/CreateImport":               admins(),
		v1 + "ImportService/GetImport":                  technical(),
		v1 + "ImportService/ListImports":                technical(),
		v1 + "ImportService/DeleteImport":               admins(),
		v1 + "ShareService/CreateShareOffer":            admins(),
		v1 + "ShareService/GetShareOffer":               technical(),
		v1 + "ShareService/ListShareOffers":             technical(),
		v1 + "ShareService/RevokeShareOffer":            admins(),
		v1 + "ShareService/GetShare":                    technical(),
		v1 + "ShareService/ListShares":                  technical(),
		v1 + "ShareService/AcceptShare":                 admins(),
		v1 + "FederationService/CreateFederationPolicy": admins(),
		v1 + "FederationService/GetFederationPolicy":    technical(),
		v1 + "FederationService/ListFederationPolicies": technical(),
		v1 + "FederationService/DeleteFederationPolicy": admins(),
		v1 + "FederationService/ExchangeToken":          {token: true},
		v1 + "WatchService/WatchResources":              everybody(),
		v1 + "AuditService/ListAuditEntries":            admins(),
		v1 + "AccessService/ExplainAccess":              technical(),
		v1 + "AccessService/GetEffectiveLimits":         everybody(),
		v1 + "ShareService/RejectShare":                 admins(),
	}
}
